"""``strong``'s robust accuracy beside that of the original AutoAttack, on the same models and samples.

``python -m tests.benchmarks.strength`` (``tox -e strength``) exits 1 where ours lies more than half a point
above. The models are a normally and an adversarially trained ResNet18 on the digits, each at an eps that few
enough withstand for the comparison to fail.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torchvision.models import resnet18

from adapters.classifier import Classifier, predict
from adapters.fast.lossless import lossless
from adapters.images import ImageSet
from bench import data
from bench.attacks.spec import Attack, Pgd, Strong
from bench.data.spec import DataSpec, Split
from bench.engine.plan import Cell, Unit
from bench.engine.runner import make_target, run_unit
from bench.ids import ModelId
from bench.store.records import Records

T = TypeVar("T")
BAR = 0.5
"""By how many points ours may lie above AutoAttack's."""
OPEN = 40
GRIDS = {"linf": [Fraction(n, 255) for n in range(2, 129, 2)], "l2": [Fraction(n, 4) for n in range(1, 65)]}
TRAINING_EPS = 0.1
"""Of the adversarial training, linf: digits of 8 x 8 pixels scaled up to 32 x 32 are hard to change."""
BATCH = 64


@dataclass(frozen=True)
class Outcome:
    """One model at one eps: robust accuracies in percent, and the seconds that the last two took."""

    clean: float
    pgd: float
    autoattack: float
    strong: float
    seconds: tuple[float, float]

    @property
    def met(self) -> bool:
        """Whether the bar is met, at an eps where it could have been missed."""
        return self.strong - self.autoattack <= BAR and 10 <= self.autoattack <= 90


def digits(split: Split, samples: int | None = None) -> ImageSet:
    """All ten digits at 3 x 32 x 32."""
    return data.load(DataSpec.model_validate({"source": "digits", "samples": samples}), split)


def train(epochs: int, pgd_steps: int) -> Classifier:
    """A ResNet18 trained on the digits; with ``pgd_steps``, on adversarials made by so many steps (Madry
    et al. 2018)."""
    torch.manual_seed(0)
    images = digits("train")
    classifier = Classifier(resnet18(num_classes=10), mean=(0.5,) * 3, std=(0.5,) * 3, num_classes=10)
    x, y = torch.from_numpy(images.x), torch.from_numpy(images.labels)
    optimizer = torch.optim.SGD(classifier.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.05, total_steps=epochs * (len(x) // BATCH)
    )
    for _ in range(epochs):
        for index in torch.split(torch.randperm(len(x)), BATCH)[: len(x) // BATCH]:
            batch = descend(classifier.eval(), x[index], y[index], pgd_steps)
            loss = F.cross_entropy(classifier.train()(batch), y[index])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return lossless(classifier, x[:BATCH])


def descend(classifier: Classifier, x: Tensor, y: Tensor, steps: int) -> Tensor:
    """Training adversarials of ``x``: ``steps`` of PGD from a random start, or ``x`` itself for none."""
    if not steps:
        return x
    moved = (x + TRAINING_EPS * (2 * torch.rand_like(x) - 1)).clamp(0, 1)
    for _ in range(steps):
        leaf = moved.requires_grad_(True)
        (gradient,) = torch.autograd.grad(F.cross_entropy(classifier(leaf), y, reduction="sum"), leaf)
        stepped = leaf.detach() + 2 * TRAINING_EPS / steps * gradient.sign()
        moved = stepped.clamp(x - TRAINING_EPS, x + TRAINING_EPS).clamp(0, 1)
    return moved.detach()


def ours(attack: Attack, classifier: Classifier, samples: ImageSet, eps: Fraction) -> Records:
    """The records of ``attack``."""
    carrier = "both" if isinstance(attack, Strong) else "art"
    unit = Unit(ModelId("model", 0), attack, carrier, (Cell(eps, str(eps)),))
    return run_unit(unit, make_target(classifier, samples, BATCH)).records[0]


def robust(records: Records) -> float:
    """Robust accuracy in percent."""
    return 100 * float((records.adv_pred == records.label).mean())


def autoattack(classifier: Classifier, samples: ImageSet, eps: Fraction, norm: str) -> float:
    """Robust accuracy in percent against the standard version of AutoAttack, its authors' own code."""
    from pyautoattack import AutoAttack

    x, y = torch.from_numpy(samples.x), torch.from_numpy(samples.labels)
    attack = AutoAttack(
        classifier, norm=norm.capitalize(), eps=float(eps), seed=0, version="standard", device="cpu"
    )
    adversarial, _ = attack.run_standard_evaluation(x, y, batch_size=BATCH)
    return 100 * float((predict(classifier, adversarial, y).pred == samples.labels).mean())


def open_eps(classifier: Classifier, samples: ImageSet, norm: str) -> tuple[Fraction, float]:
    """The smallest grid eps at which at most OPEN percent withstand PGD-20, and how many percent do."""
    attack = Pgd.model_validate({"attack": "pgd", "norm": norm, "steps": 20})
    low, high = 0, len(GRIDS[norm]) - 1
    while low < high:
        middle = (low + high) // 2
        if robust(ours(attack, classifier, samples, GRIDS[norm][middle])) <= OPEN:
            high = middle
        else:
            low = middle + 1
    return GRIDS[norm][low], robust(ours(attack, classifier, samples, GRIDS[norm][low]))


def compare(classifier: Classifier, samples: ImageSet, eps: Fraction, pgd: float, norm: str) -> Outcome:
    """Both on ``classifier`` at ``eps``."""
    strong = Strong.model_validate({"attack": "strong", "norm": norm})
    records, our_seconds = _timed(lambda: ours(strong, classifier, samples, eps))
    theirs, their_seconds = _timed(lambda: autoattack(classifier, samples, eps, norm))
    clean = 100 * float((records.clean_pred == records.label).mean())
    return Outcome(clean, pgd, theirs, robust(records), (their_seconds, our_seconds))


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def main() -> None:
    """Compare on both models and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="number of samples")
    parser.add_argument("--norm", choices=list(GRIDS), default="linf")
    options = parser.parse_args()
    samples = digits("test", options.count)
    table = Table(title=f"robust accuracy, %, of {len(samples)} samples", title_justify="left")
    for column in (
        "ResNet18 trained",
        "eps",
        "clean",
        "PGD-20",
        "AutoAttack",
        "strong",
        "AutoAttack s",
        "strong s",
    ):
        table.add_column(column, justify="right")
    met = []
    for name, epochs, pgd_steps in (("normally", 8, 0), ("adversarially", 12, 5)):
        classifier = train(epochs, pgd_steps)
        eps, pgd = open_eps(classifier, samples, options.norm)
        found = compare(classifier, samples, eps, pgd, options.norm)
        met.append(found.met)
        figures = (found.clean, found.pgd, found.autoattack, found.strong, *found.seconds)
        table.add_row(name, str(eps), *(f"{figure:.1f}" for figure in figures))
    Console(width=120, file=sys.stdout).print(table)
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    main()
