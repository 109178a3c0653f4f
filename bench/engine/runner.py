"""One unit: a classifier, samples and an attack through one library -> per-sample records of each cell."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from adapters.classifier import Classifier, Predictions, joined, tensors
from adapters.images import ImageSet
from adapters.spec import Precision
from bench import pulse
from bench.attacks.access import distance, size
from bench.attacks.attack_session import Stage, make_stages
from bench.attacks.question import Question
from bench.attacks.randomness import seed_of
from bench.attacks.spec import carries
from bench.engine.crafted import Crafted, untouched
from bench.engine.judging import ONE_ANSWER, Judging, judge
from bench.engine.plan import Unit
from bench.engine.survivors import Survivors
from bench.store.records import NORMS, Floats, Ints, Records

SLACK = 1e-6
"""How far an adversarial may leave its budget or the box by float32 rounding; relative for eps above 1."""


class AttackError(Exception):
    """An attack gave something that must not count: it becomes an error cell with this reason."""


@dataclass(frozen=True)
class Target:
    """A classifier ready to be attacked in ``precision``, its samples, and its clean answers (float32)."""

    classifier: Classifier
    samples: ImageSet
    clean: Predictions
    batch_size: int
    precision: Precision = "fp32"
    judging: Judging = ONE_ANSWER
    whole: "Target | None" = None
    """The target that this one is a slice of; None: it is whole."""
    source: "Target | None" = None
    """Whose adversarials are transferred to this one; None: it is attacked itself."""

    @property
    def attacked(self) -> "Target":
        """What is attacked, whole: what is drawn from its samples must not depend on the slice."""
        return self.source or self.whole or self

    @property
    def correct(self) -> Ints:
        """Positions of the samples predicted correctly, if only sometimes: those that are attacked."""
        return np.flatnonzero(self.clean.stands(self.samples.labels))

    def only(self, index: Ints) -> "Target":
        """The same target with the samples at ``index`` alone."""
        return replace(self, samples=self.samples.take(index), clean=self.clean.take(index), whole=self)


@dataclass(frozen=True)
class UnitResult:
    """A unit's records, one per eps, and what they cost.

    On request it has its images (float32, N x C x H x W), one per eps.
    """

    records: list[Records]
    seconds: float
    forwards: int
    backwards: int
    images: list[Floats] | None = None


def make_target(
    classifier: Classifier,
    samples: ImageSet,
    batch_size: int,
    precision: Precision = "fp32",
    judging: Judging = ONE_ANSWER,
) -> Target:
    """``classifier`` and its clean predictions of ``samples``, made once for all attacks."""
    batches = [samples.take(index) for index in _batches(np.arange(len(samples)), batch_size)]
    parts = [judge(classifier, *tensors(batch, classifier.device), batch.ids, judging) for batch in batches]
    return Target(classifier, samples, joined(parts), batch_size, precision, judging)


def run_unit(unit: Unit, target: Target, *, keep_images: bool = False) -> UnitResult:
    """Attack the correctly predicted samples of ``target`` at every eps of ``unit``.

    A ``target`` with a source is attacked through it: the attack is carried out against the source, judged by
    the target. Raises AttackError if an adversarial is not finite, leaves [0, 1] or its budget; and whatever
    the library raises.
    """
    started = time.perf_counter()
    stages = make_stages(
        unit.attack, unit.library, target.attacked.classifier, target.samples.input_shape, target.precision
    )
    crafted = [_untouched(target, stages, keep_images=keep_images)] * len(unit.cells)
    before = _passes(target, stages)
    for index in _batches(target.correct, target.batch_size):
        question = _question(
            target, index, unit.stream, others=any(stage.starts_elsewhere for stage in stages)
        )
        grid, carry = [float(cell.eps) for cell in unit.cells], carries(unit.attack)
        found = _cascade(stages, question, grid, target, carry=carry, keep_images=keep_images)
        crafted = [before.unless_harmless(after, index) for before, after in zip(crafted, found, strict=True)]
    images = [one.images for one in crafted if one.images is not None] if keep_images else None
    records = [one.records(target.samples.ids, target.samples.labels, target.clean) for one in crafted]
    forwards, backwards = (now - then for now, then in zip(_passes(target, stages), before, strict=True))
    return UnitResult(records, time.perf_counter() - started, forwards, backwards, images)


def _batches(index: Ints, size: int) -> list[Ints]:
    return [index[i : i + size] for i in range(0, len(index), size)]


def _question(target: Target, index: Ints, stream: int, *, others: bool) -> Question:
    samples = target.samples.take(index)
    x, y = tensors(samples, target.classifier.device)
    question = Question(x=x, y=y, ids=samples.ids, eps=0.0, seed=stream)
    return replace(question, others=_others(question, target.attacked)) if others else question


def _others(question: Question, attacked: Target) -> Tensor | None:
    """For each sample an image that is taken for another class; None if any has none."""
    others = [np.flatnonzero(attacked.clean.pred != label) for label in question.y.tolist()]
    if not all(len(candidates) for candidates in others):
        return None
    chosen = [
        int(candidates[seed_of(question, i, "other") % len(candidates)])
        for i, candidates in enumerate(others)
    ]
    images, _ = tensors(attacked.samples.take(np.array(chosen)), question.x.device)
    return images


def _cascade(
    stages: Sequence[Stage],
    question: Question,
    grid: Sequence[float],
    target: Target,
    *,
    carry: bool,
    keep_images: bool,
) -> list[Crafted]:
    """At each eps the best stage per sample: the first to break it, else what lowers the true class most."""
    found = Survivors(grid, question.y.cpu().numpy(), carry=carry)
    rounds = [(stage, restart) for stage in stages for restart in range(stage.restarts)]
    for number, (stage, restart) in enumerate(rounds):
        pulse.at(round=number, rounds=len(rounds), answered=0)
        for index, same in found.to_attack(at_once=stage.once_for_all_eps):
            asked = replace(question.take(index.tolist()), restart=restart)
            for eps, crafted in zip(
                same, _judged(stage, asked, same, target, keep_images=keep_images), strict=True
            ):
                found.add(eps, crafted, index)
    return [found.best[eps] for eps in grid]


def _judged(
    stage: Stage, question: Question, grid: Sequence[float], target: Target, *, keep_images: bool
) -> list[Crafted]:
    """Check the adversarials at each eps, then predict them again.

    Predictions and distances are ours, never the library's.
    """
    budgets = 1 if stage.once_for_all_eps else len(grid)
    pulse.at(answered=0, asked=budgets * len(question), grid=len(grid))
    answers = stage(question, grid)
    if stage.once_for_all_eps:
        found = _within(stage, question, grid, answers[0].adversarial, target, keep_images=keep_images)
    else:
        found = [
            _at(stage, question, eps, a.adversarial, target, keep_images=keep_images)
            for eps, a in zip(grid, answers, strict=True)
        ]
    repeats = getattr(target.attacked.classifier, "repeats", 1)
    queries = [
        np.array(a.queries(eps), dtype=np.int64) * repeats if a.traces else None
        for eps, a in zip(grid, answers, strict=True)
    ]
    return [replace(one, queries=spent) for one, spent in zip(found, queries, strict=True)]


def _at(
    stage: Stage, question: Question, eps: float, adversarial: Tensor, target: Target, *, keep_images: bool
) -> Crafted:
    """What a fixed budget of ``eps`` gave."""
    check_box(adversarial)
    distances = measure(question.x, adversarial)
    check_budget(distances.get(stage.norm, np.zeros(len(question), dtype=np.float32)), eps)
    return _crafted(target, question, adversarial, distances, keep_images=keep_images)


def _within(
    stage: Stage,
    question: Question,
    grid: Sequence[float],
    adversarial: Tensor,
    target: Target,
    *,
    keep_images: bool,
) -> list[Crafted]:
    """The nearest adversarials, predicted once: at each eps those within it, for those farther the images."""
    check_box(adversarial)
    moved = _crafted(target, question, adversarial, measure(question.x, adversarial), keep_images=keep_images)
    still = _crafted(target, question, question.x, measure(question.x, question.x), keep_images=keep_images)
    found = distance(question.x, adversarial, stage.norm)
    broken = torch.from_numpy(moved.pred).to(question.y) != question.y
    nearest = torch.where(broken, found, torch.inf).cpu().numpy()
    inside = [(broken & (found <= eps)).cpu().numpy() for eps in grid]
    return [
        replace(still.with_rows(np.flatnonzero(near), moved.take(near)), distance=nearest) for near in inside
    ]


def _crafted(
    target: Target, question: Question, images: Tensor, distances: dict[str, Floats], *, keep_images: bool
) -> Crafted:
    """``images`` of the samples of ``question`` as ``target`` sees them."""
    said = _said_of(target, images, question)
    kept = images.cpu().numpy() if keep_images else None  # only then: a GPU waits while they are copied
    return Crafted(
        said.pred, said.prob, said.prob_true, distances, images=kept, right=said.right, choice=said.choice
    )


def _said_of(target: Target, adversarial: Tensor, question: Question) -> Predictions:
    """What ``target`` says of ``adversarial``.

    Raises AttackError unless it is finite: what wins among NaN is not a class.
    """
    said = judge(target.classifier, adversarial, question.y, question.ids, target.judging)
    broken = int((~(np.isfinite(said.prob) & np.isfinite(said.prob_true))).sum())
    if broken:
        raise AttackError(
            f"the model's logits are not finite (NaN or infinite) on {broken} of {len(question)} attacked"
            " images"
        )
    return said


def measure(x: Tensor, adversarial: Tensor) -> dict[str, Floats]:
    """Distances per sample on the [0, 1] scale; l0 counts pixels (positions changed in any channel)."""
    change = (adversarial - x).abs()
    return {norm: size(change, norm).cpu().numpy() for norm in NORMS}


def check_budget(distance: Floats, eps: float) -> None:
    """Raise AttackError unless every ``distance`` (N) is within ``eps``."""
    if float(distance.max()) > eps + SLACK * max(1.0, eps):
        raise AttackError(f"the attack left its budget: distance {distance.max():.6f} > eps {eps:.6f}")


def check_box(adversarial: Tensor) -> None:
    """Raise AttackError unless ``adversarial`` is finite and inside [0, 1]."""
    low, high = map(float, torch.aminmax(adversarial))  # either is NaN where any value is
    if not (math.isfinite(low) and math.isfinite(high)):
        raise AttackError("the attack returned values that are not finite")
    if low < -SLACK or high > 1 + SLACK:
        raise AttackError(f"the attack left the box [0, 1]: values from {low:.6f} to {high:.6f}")


def _untouched(target: Target, stages: Sequence[Stage], *, keep_images: bool) -> Crafted:
    return untouched(
        target.clean,
        queries=all(stage.counts_queries for stage in stages),
        distance=all(stage.once_for_all_eps for stage in stages),
        images=target.samples.x if keep_images else None,
    )


def _passes(target: Target, stages: Sequence[Stage]) -> tuple[int, int]:
    """Images passed forward and backward so far.

    They go through the members of a defended model, each of which takes its time.
    """
    counted = getattr(target.attacked.classifier, "passes", None)
    if counted is not None:
        return counted.forwards, counted.backwards
    return sum(s.access.forwards for s in stages), sum(s.access.backwards for s in stages)
