"""Controls of one attack: the same unit on a few samples, with one thing changed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from adapters.classifier import Classifier
from bench.attacks.spec import Strong, contract_of
from bench.engine.plan import Cell, Unit
from bench.engine.runner import Target, run_unit
from bench.store.evidence import Evidence
from bench.store.records import Bools, Floats
from bench.trust.margin import margin
from bench.trust.recorder import Recorder, spaced, take

HUGE = {"linf": Fraction(1, 2), "l2": Fraction(64), "l1": Fraction(100_000), "l0": Fraction(100_000)}
"""Budgets that let an attack draw nearly anything; in linf, every image can become the same grey."""
CONVERGED = 0.05
"""Share of the loss's whole range that an attack may still gain in its last steps (published)."""
LAST_STEPS = 10
"""Steps over which that gain is looked at (published); at most half of a short attack."""
AGAIN = 3
"""One in so many samples is attacked again, with more steps and no limit: a few tell, as all should hold."""


@dataclass(frozen=True)
class Trial:
    """A control run: which samples it broke, the adversarials, and the logits on the way there."""

    broken: Bools
    adversarial: Tensor
    path: list[Tensor]


def attack_controls(unit: Unit, target: Target, raw: Classifier, headline: Fraction) -> Iterator[Evidence]:
    """Every control of ``unit`` on ``target``'s samples, all of which are predicted correctly.

    Those that attack again, at two to three times the cost, do so on a third of them.
    """
    if not len(target.samples):
        yield from (_evidence(check, 0, 0, "samples: none could be afforded") for check in _asked(unit))
        return
    base, n = _trial(unit, target, headline), len(target.samples)
    third = spaced(n, max(n // AGAIN, 1))
    few = take(target, third)
    if getattr(unit.attack, "loss", None) == "dlr":
        yield _enough_classes(unit, target)
    yield _rounding(base, target)
    yield _transfer(base, target, raw)
    if _has_ball(unit):
        yield _unconstrained(unit, few)
    if _iterates(unit):
        yield _more_steps(unit, few, headline, base.broken[third])
    if _descends_once(unit):
        yield from _path_indicators(base, target)


def _asked(unit: Unit) -> Iterator[str]:
    """The controls of ``unit`` that need samples."""
    yield from ("rounding", "transfer-failure")
    yield from ("unconstrained",) if _has_ball(unit) else ()
    yield from ("more-steps",) if _iterates(unit) else ()
    yield from ("silent-success", "incomplete-optimisation") if _descends_once(unit) else ()


def _has_ball(unit: Unit) -> bool:
    return contract_of(unit.attack).budget == "fixed" and unit.attack.norm in HUGE


def outcomes_in_float32(unit: Unit, target: Target, eps: Fraction) -> Iterator[Evidence]:
    """Samples whose outcome differs if the attack is crafted in float32 too; all are predicted correctly."""
    once = replace(unit, cells=(Cell(eps, "control"),))
    crafted, exact = (
        run_unit(once, t).records[0].success for t in (target, replace(target, precision="fp32"))
    )
    what = f"outcomes are others when crafted in fp32 instead of {target.precision}"
    yield _evidence("precision", int((crafted != exact).sum()), len(target.samples), what)


def _trial(unit: Unit, target: Target, eps: Fraction) -> Trial:
    """A cascade keeps each sample's best images of all its stages, and so does this.

    Its path is of no single descent.
    """
    recorder = Recorder(target.classifier)
    once = replace(unit, cells=(Cell(eps, "control"),))
    result = run_unit(once, replace(target, classifier=recorder), keep_images=True)
    assert result.images is not None  # noqa: S101 (asked for)
    adversarial = torch.from_numpy(result.images[0]).to(target.classifier.device)
    path = (
        [logits for logits in recorder.path if len(logits) == len(target.samples)]
        if _descends_once(unit)
        else []
    )
    return Trial(result.records[0].success, adversarial, path)


def _iterates(unit: Unit) -> bool:
    return _is_white_box(unit) and contract_of(unit.attack).budget == "fixed" and _steps(unit) > 1


def _descends_once(unit: Unit) -> bool:
    """Whether it is one descent: of a cascade's stages, each meets only what withstood those before."""
    return (
        _iterates(unit) and not isinstance(unit.attack, Strong) and getattr(unit.attack, "restarts", 1) == 1
    )


def _is_white_box(unit: Unit) -> bool:
    return contract_of(unit.attack).access == "white-box"


def _steps(unit: Unit) -> int:
    return int(getattr(unit.attack, "steps", 1))


def _evidence(check: str, count: int, n: int, what: str) -> Evidence:
    return Evidence(check, "", 0, None, None, count / n if n else 0.0, n, f"{count} of {n} {what}")


def _rounding(base: Trial, target: Target) -> Evidence:
    """Adversarials that no longer fool the model once written as an 8-bit image."""
    rounded = (base.adversarial * 255).round() / 255
    return _lost(
        "rounding", base, target, target.classifier, rounded, "adversarials are lost when rounded to 8 bits"
    )


def _transfer(base: Trial, target: Target, raw: Classifier) -> Evidence:
    """Adversarials of the form that is attacked that do not fool the model as trained."""
    return _lost(
        "transfer-failure", base, target, raw, base.adversarial, "adversarials fail on the model as trained"
    )


@torch.inference_mode()
def _lost(check: str, base: Trial, target: Target, model: Classifier, x: Tensor, what: str) -> Evidence:
    """Of the samples broken in ``base``, those that ``model`` predicts correctly as ``x``."""
    right = model(x).argmax(1).cpu().numpy() == target.samples.labels
    return _evidence(check, int((base.broken & right).sum()), int(base.broken.sum()), what)


def _enough_classes(unit: Unit, target: Target) -> Evidence:
    """Classes that the DLR loss lacks: it divides by the gap to the third logit, targeted to the fourth."""
    has, needs = target.classifier.num_classes, 4 if getattr(unit.attack, "targeted", False) else 3
    return Evidence(
        "classes", "", 0, None, None, max(needs - has, 0), has, f"{has} classes; this loss needs {needs}"
    )


def _unconstrained(unit: Unit, target: Target) -> Evidence:
    """Samples that hold with no budget left to speak of, beyond those that guessing gets right.

    One step goes as far as it is told to, and may pass through a wrong class into the right one: it has two
    shorter ones too.
    """
    huge = HUGE[unit.attack.norm]
    budgets = (huge,) if _steps(unit) > 1 or not _is_white_box(unit) else (huge / 4, huge / 2, huge)
    held = int((~np.any([_trial(unit, target, eps).broken for eps in budgets], axis=0)).sum())
    n, chance = len(target.samples), len(target.samples) // target.classifier.num_classes
    what = f"samples hold at {unit.attack.norm} {huge} beyond chance ({held} hold, chance is {chance})"
    return _evidence("unconstrained", max(held - chance, 0), n, what)


def _more_steps(unit: Unit, target: Target, headline: Fraction, broken: Bools) -> Evidence:
    """Those already ``broken`` are not attacked again: no outcome depends on its company."""
    longer = unit.attack.model_copy(update={"steps": 2 * _steps(unit)})
    held = take(target, np.flatnonzero(~broken))
    gained = (
        int(_trial(replace(unit, attack=longer), held, headline).broken.sum()) if len(held.samples) else 0
    )
    return _evidence(
        "more-steps", gained, len(target.samples), "samples are broken only with twice the steps"
    )


def _path_indicators(base: Trial, target: Target) -> Iterator[Evidence]:
    """Silent success and incomplete optimisation, over the samples on which the attack failed."""
    y = torch.from_numpy(target.samples.labels).to(base.adversarial.device)
    with torch.inference_mode():
        last = target.classifier(base.adversarial)
    margins = torch.stack([margin(logits, y) for logits in [*base.path, last]]).cpu().numpy()
    failed = ~base.broken
    silent = int(((margins[:-1] < 0).any(0) & failed).sum())
    yield _evidence("silent-success", silent, int(failed.sum()), "failed samples had been broken on the way")
    stopped = int((_still_gaining(margins) & failed).sum())
    yield _evidence(
        "incomplete-optimisation", stopped, int(failed.sum()), "failed samples were still losing margin"
    )


def _still_gaining(margins: Floats) -> Bools:
    """Per sample, whether the best margin so far (steps x N, in [0, 1]) still falls over the last steps."""
    best = np.minimum.accumulate(margins, axis=0)
    span = margins.max(0) - margins.min(0)
    last = min(LAST_STEPS, len(margins) // 2)
    gain: Bools = (best[-last] - best[-1]) > CONVERGED * np.where(span > 0, span, 1)
    return gain
