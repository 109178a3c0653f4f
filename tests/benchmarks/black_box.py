"""How fast black-box attacks are: ``bench``, whose samples are attacked side by side, against the plain
libraries in their own batches, with the same parameters and starting points; and the floor, as many forward
passes in the best batch alone.

``python -m tests.benchmarks.black_box`` prints medians of interleaved rounds in one run: CPU seconds on one
core, on a GPU seconds of the wall. With ``--loop``, also what the library's own loop takes for one image at a
time where answers cost nothing: with the passes, that is the floor for whoever uses it.
"""

import argparse
import itertools
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.fast.rowwise import WIDEST, WIDEST_ON_GPU, Rowwise
from adapters.images import ImageSet
from bench.attacks.art.workarounds import CleanGeoDa, Probabilities
from bench.attacks.randomness import global_streams
from bench.attacks.registry import Library
from bench.attacks.spec import Attack, AttackSpec
from bench.engine.prepare import prepare
from bench.engine.runner import Target, UnitResult, run_unit
from tests.benchmarks.clock import timed
from tests.benchmarks.models import known, make_classifier
from tests.builders.attacking import make_unit
from tests.builders.single import Single

EPS = 1.0


@dataclass(frozen=True)
class Subject:
    """A classifier and ``samples`` that it predicts correctly; each starts at the next of another class."""

    classifier: Classifier
    samples: ImageSet

    @cached_property
    def target(self) -> Target:
        return prepare(self.classifier, self.samples, len(self.samples), "fp32")

    @property
    def batch(self) -> int:
        """Images that a floor's pass holds."""
        return WIDEST if self.classifier.device.type == "cpu" else WIDEST_ON_GPU

    @cached_property
    def starts(self) -> npt.NDArray[np.float32]:
        labels, n = self.samples.labels, len(self.samples)
        others = [next(j % n for j in range(i, i + n) if labels[j % n] != labels[i]) for i in range(n)]
        return self.samples.x[others]

    def estimator(self, *, probabilities: bool = False) -> Any:
        """ART's classifier as in its examples, around what brings numpy 2's float64 images to float32."""
        from art.estimators.classification import PyTorchClassifier

        model = Single(self.classifier.eval())
        return PyTorchClassifier(
            Probabilities(model) if probabilities else model, loss=nn.CrossEntropyLoss(),
            clip_values=(0.0, 1.0),
            input_shape=self.samples.input_shape, nb_classes=self.classifier.num_classes,
            device_type="gpu" if self.classifier.device.type == "cuda" else "cpu",
        )  # fmt: skip


@dataclass(frozen=True)
class Case:
    """An attack as declared, through ``library``, and how its users call it themselves."""

    library: Library
    declared: dict[str, Any]
    plain: Callable[[Subject], Any]

    @property
    def attack(self) -> Attack:
        attack: Attack = TypeAdapter(AttackSpec).validate_python(self.declared)
        return attack


def foolbox(make: Callable[[Any], Any]) -> Callable[[Subject], Any]:
    def call(subject: Subject) -> Any:
        import foolbox as fb

        model = fb.PyTorchModel(subject.classifier.eval(), bounds=(0, 1))
        x, y, starts = (
            torch.from_numpy(part).to(subject.classifier.device)
            for part in (subject.samples.x, subject.samples.labels, subject.starts)
        )
        return make(fb.attacks)(model, x, y, epsilons=[EPS], starting_points=starts)

    return call


def art(
    make: Callable[[Any, Any], Any], *, starts: bool = False, one_hot: bool = False
) -> Callable[[Subject], Any]:
    def call(subject: Subject) -> Any:
        from art.attacks import evasion

        attack = make(evasion, subject.estimator(probabilities=one_hot))
        if isinstance(attack, CleanGeoDa):
            return [_geoda(attack, subject, i) for i in range(len(subject.samples))]
        labels = (
            np.eye(subject.classifier.num_classes)[subject.samples.labels]
            if one_hot
            else subject.samples.labels
        )
        return attack.generate(
            subject.samples.x, labels, **({"x_adv_init": subject.starts} if starts else {})
        )

    return call


def _geoda(attack: CleanGeoDa, subject: Subject, i: int) -> Any:
    attack.start = subject.starts[i : i + 1]
    return attack.generate(subject.samples.x[i : i + 1], subject.samples.labels[i : i + 1])


CASES = {
    "Boundary, 100 steps, Foolbox": Case(
        "foolbox", {"attack": "boundary", "steps": 100}, foolbox(lambda fb: fb.BoundaryAttack(steps=100))
    ),
    "HopSkipJump, 5 steps, Foolbox": Case(
        "foolbox",
        {"attack": "hopskipjump", "steps": 5, "initial_evaluations": 50, "max_evaluations": 200},
        foolbox(
            lambda fb: fb.HopSkipJumpAttack(
                steps=5, initial_gradient_eval_steps=50, max_gradient_eval_steps=200
            )
        ),
    ),
    "HopSkipJump, 5 steps, ART": Case(
        "art",
        {"attack": "hopskipjump", "steps": 5, "initial_evaluations": 50, "max_evaluations": 200},
        art(
            lambda e, c: e.HopSkipJump(c, max_iter=5, init_eval=50, max_eval=200, init_size=1, verbose=False),
            starts=True,
        ),
    ),
    "Boundary, 100 steps, ART": Case(
        "art",
        {"attack": "boundary", "steps": 100},
        art(
            lambda e, c: e.BoundaryAttack(
                c, targeted=False, max_iter=5, num_trial=10, sample_size=10, init_size=1, verbose=False
            ),
            starts=True,
        ),
    ),
    "GeoDA, 250 queries, ART": Case(
        "art",
        {"attack": "geoda", "queries": 250},
        art(lambda _, c: CleanGeoDa(c, batch_size=64, norm=2, sub_dim=10, max_iter=250, verbose=False)),
    ),
    "Square, 200 steps, ART": Case(
        "art",
        {"attack": "square", "norm": "l2", "steps": 200},
        art(
            lambda e, c: e.SquareAttack(
                c, norm=2, max_iter=200, eps=EPS, p_init=0.8, nb_restarts=1, verbose=False
            )
        ),
    ),
    "SimBA, 200 steps, ART": Case(
        "art",
        {"attack": "simba", "steps": 200},
        art(lambda e, c: e.SimBA(c, attack="px", max_iter=200, epsilon=0.2, verbose=False), one_hot=True),
    ),
    "ZOO, 2 steps, ART": Case(
        "art",
        {"attack": "zoo", "steps": 2, "binary_search_steps": 1, "initial_const": 100, "step_size": 0.05},
        art(
            lambda e, c: e.ZooAttack(
                c,
                learning_rate=0.05,
                max_iter=2,
                binary_search_steps=1,
                initial_const=100,
                abort_early=False,
                use_resize=False,
                use_importance=False,
                nb_parallel=128,
                variable_h=0.001,
                verbose=False,
            )
        ),
    ),
}


def through_bench(case: Case, subject: Subject) -> UnitResult:
    return run_unit(make_unit(case.attack, case.library, [EPS]), subject.target)


def floor(subject: Subject, passes: int) -> None:
    """``passes`` images passed forward in the best batch, and nothing else."""
    network = Rowwise(subject.target.classifier, "fp32")
    x = torch.rand((subject.batch, *subject.samples.input_shape), device=subject.classifier.device)
    for done in range(0, passes, len(x)):
        network(x[: passes - done])


class Remembered(Classifier):
    """Answers as ``classifier`` does, and after ``rewind`` from memory, in the same order."""

    def __init__(self, classifier: Classifier) -> None:
        nn.Module.__init__(self)
        self.num_classes = classifier.num_classes
        self.register_buffer("_place", torch.empty(0, device=classifier.device))
        self._ask, self._said, self._next = Single(classifier.eval()).forward, list[Tensor](), 0

    def rewind(self) -> None:
        """Begin again with the first answer."""
        self._next = 0

    def forward(self, x: Tensor) -> Tensor:
        if self._next == len(self._said):
            self._said.append(self._ask(x).detach())
        self._next += 1
        return self._said[self._next - 1]


def own_loop(subject: Subject, case: Case) -> Callable[[], object]:
    """The library's attack on one image at a time, of a classifier whose answers cost nothing."""
    model = Remembered(subject.classifier)
    alone = [Subject(model, subject.samples.take(np.array([i]))) for i in range(len(subject.samples))]
    for i, one in enumerate(alone):
        vars(one)["starts"] = subject.starts[i : i + 1]

    def attack() -> None:
        model.rewind()
        with global_streams(0), torch.no_grad():
            for one in alone:
                case.plain(one)

    attack()
    return attack


def measure(subject: Subject, case: Case, rounds: int, *, loop: bool) -> Iterator[tuple[str, float]]:
    """Median seconds of the plain library, ``bench``, the floor and the ``loop``; the passes of ``bench``."""
    np.random.seed(0)  # noqa: NPY002 (what the libraries draw from)
    passes = through_bench(case, subject).forwards
    contenders: dict[str, Callable[[], object]] = {
        "plain": lambda: case.plain(subject),
        "bench": lambda: through_bench(case, subject),
        "floor": lambda: floor(subject, passes),
        **({"loop": own_loop(subject, case)} if loop else {}),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _, (name, call) in itertools.product(
        range(rounds), contenders.items()
    ):  # interleaved: drift hits all alike
        seconds[name].append(timed(call, subject.classifier.device)[0])
    yield from ((name, statistics.median(taken)) for name, taken in seconds.items())
    yield "passes", passes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--loop", action="store_true", help="also the library's own loop, on answers that are free"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)  # `bench` attacks in one thread a process
    classifier = make_classifier(options.size, lora=False, device=options.device)
    subject = Subject(classifier, known(classifier, options.size, options.count))
    print(
        "| | passes of `bench` | plain s | `bench` s | x plain | floor s | loop s |\n| --- |" + " ---: |" * 6
    )
    for name, case in CASES.items():
        if options.only in name:
            found = dict(measure(subject, case, options.rounds, loop=options.loop))
            plain, ours, least = found["plain"], found["bench"], found["floor"]
            row = f"{found['passes']:.0f} | {plain:.2f} | {ours:.2f} | {plain / ours:.2f} | {least:.2f}"
            row += f" | {found['loop']:.2f}" if options.loop else " |"
            print(f"| {name} | {row} |", flush=True)


if __name__ == "__main__":
    main()
