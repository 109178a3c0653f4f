"""Controls of one attack: the same unit on a few samples, with one thing changed.

Each is a check of bench/scoring/trust.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from adapters.classifier import Classifier, tensors
from bench.attacks.spec import Strong, contract_of, library_of
from bench.engine.plan import Cell, Unit
from bench.engine.runner import Target, run_unit
from bench.store.evidence import Evidence
from bench.store.records import Bools, Floats
from bench.trust.margin import margin
from bench.trust.measuring import measured
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


@dataclass(frozen=True)
class Control:
    """What a check of an attack is given: ``unit`` carried out once, at ``eps``, on ``target``'s samples.

    All of these (N) are predicted correctly. ``raw`` is the model as trained. A check that attacks again, at
    two to three times the cost, does so on every third sample: ``few``, which are at ``third``. ``quick``:
    the classifier of the target, for as few.
    """

    unit: Unit
    target: Target
    raw: Classifier
    eps: Fraction
    base: Trial
    quick: Classifier

    @property
    def third(self) -> npt.NDArray[np.int64]:
        """The positions of one sample in three."""
        return spaced(len(self.target.samples), max(len(self.target.samples) // AGAIN, 1))

    @property
    def few(self) -> Target:
        """``target`` with one sample in three, whose gradients are quick."""
        return replace(take(self.target, self.third), classifier=self.quick)

    @cached_property
    def margins(self) -> Floats:
        """The logit margins (steps x N) on the way, and at its end."""
        y = torch.from_numpy(self.target.samples.labels).to(self.base.adversarial.device)
        with torch.inference_mode():
            last = self.target.classifier(self.base.adversarial)
        found: Floats = torch.stack([margin(logits, y) for logits in [*self.base.path, last]]).cpu().numpy()
        return found


def attack_controls(
    unit: Unit,
    target: Target,
    raw: Classifier,
    eps: Fraction,
    known: Bools | None = None,
    quick: Classifier | None = None,
) -> list[Evidence]:
    """What every check of attacks measures of ``unit`` on ``target``'s samples, all predicted correctly.

    ``known``: which of them (N) it has been seen to break at ``eps``; without, all are attacked again.
    ``quick``: the classifier of ``target`` for a few samples.
    """
    base = _base(unit, target, eps, known)
    return measured("attack", Control(unit, target, raw, eps, base, quick or target.classifier))


def has_ball(control: Control) -> bool:
    """Whether its budget can be made so large that it is none."""
    attack = control.unit.attack
    return contract_of(attack).budget == "fixed" and attack.norm in HUGE


def outcomes_in_float32(unit: Unit, target: Target, eps: Fraction) -> Iterator[Evidence]:
    """Samples whose outcome differs if the attack is crafted in float32 too; all are predicted correctly."""
    once = replace(unit, cells=(Cell(eps, "control"),))
    crafted, exact = (
        run_unit(once, t).records[0].success for t in (target, replace(target, precision="fp32"))
    )
    what = f"outcomes differ when re-crafted in fp32 instead of {target.precision}"
    yield _evidence("precision", int((crafted != exact).sum()), len(target.samples), what)


def _base(unit: Unit, target: Target, eps: Fraction, known: Bools | None) -> Trial:
    """``unit`` on all samples of ``target``.

    Those that are ``known`` to hold would only hold again, as no outcome depends on its company: they are
    left alone, unless what the attack saw on its way is looked at.
    """
    if known is None or _descends_once(unit):
        return _trial(unit, target, eps)
    adversarial = tensors(target.samples, target.classifier.device)[0].clone()
    broken, tried = np.zeros_like(known), np.flatnonzero(known)
    if len(tried):
        again = _trial(unit, replace(take(target, tried), whole=target.attacked), eps)
        broken[tried], adversarial[tried] = again.broken, again.adversarial
    return Trial(broken, adversarial, [])


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


def has_dlr_loss(control: Control) -> bool:
    """Whether its loss needs a number of classes."""
    return getattr(control.unit.attack, "loss", None) == "dlr"


def iterates(control: Control) -> bool:
    """Whether more steps could break more."""
    return _iterates(control.unit)


def descends_once(control: Control) -> bool:
    """Whether its way shows one descent."""
    return _descends_once(control.unit)


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


def rounding(control: Control) -> Iterator[Evidence]:
    """Adversarials that no longer fool the model once written as an 8-bit image."""
    rounded = (control.base.adversarial * 255).round() / 255
    what = "adversarials are lost when rounded to 8 bits"
    yield _lost("rounding", control, control.target.classifier, rounded, what)


def transfer_failure(control: Control) -> Iterator[Evidence]:
    """Adversarials of the form that is attacked that do not fool the model as trained."""
    what = "adversarials fail on the model as trained"
    yield _lost("transfer-failure", control, control.raw, control.base.adversarial, what)


@torch.inference_mode()
def _lost(check: str, control: Control, model: Classifier, x: Tensor, what: str) -> Evidence:
    """Of the samples that the attack broke, those that ``model`` predicts correctly as ``x``."""
    right = model(x).argmax(1).cpu().numpy() == control.target.samples.labels
    broken = control.base.broken
    return _evidence(check, int((broken & right).sum()), int(broken.sum()), what)


def classes(control: Control) -> Iterator[Evidence]:
    """Classes that the DLR loss lacks: it divides by the gap to the third logit, targeted to the fourth."""
    has = control.target.classifier.num_classes
    needs = 4 if getattr(control.unit.attack, "targeted", False) else 3
    detail = f"{has} classes; this loss needs {needs}"
    yield Evidence("classes", "", 0, None, None, max(needs - has, 0), has, detail)


def unconstrained(control: Control) -> Iterator[Evidence]:
    """Samples that hold with no budget left to speak of, beyond those that guessing gets right.

    One step goes as far as it is told to, and may pass through a wrong class into the right one: it has two
    shorter ones too.
    """
    unit, target = control.unit, control.few
    huge = HUGE[unit.attack.norm]
    budgets = (huge,) if _steps(unit) > 1 or not _is_white_box(unit) else (huge / 4, huge / 2, huge)
    held = int((~np.any([_trial(unit, target, eps).broken for eps in budgets], axis=0)).sum())
    n, chance = len(target.samples), len(target.samples) // target.classifier.num_classes
    what = f"samples hold at {unit.attack.norm} {huge} beyond chance ({held} hold, chance is {chance})"
    yield _evidence("unconstrained", max(held - chance, 0), n, what)


def more_steps(control: Control) -> Iterator[Evidence]:
    """Samples that only twice the steps break; those broken already are not attacked again.

    No outcome depends on its company.
    """
    few, held = control.few, np.flatnonzero(~control.base.broken[control.third])
    before = len(held)
    for longer in _with_twice_the_steps(control.unit):
        if len(held):
            held = held[~_trial(longer, take(few, held), control.eps).broken]
    what = "samples are broken only with twice the steps"
    yield _evidence("more-steps", before - len(held), len(few.samples), what)


def _with_twice_the_steps(unit: Unit) -> list[Unit]:
    """``unit`` with an attack of twice the steps; of a cascade's, each stage that has more steps then."""
    longer = unit.attack.model_copy(update={"steps": 2 * _steps(unit)})
    if not longer.members:
        return [replace(unit, attack=longer)]
    changed = [stage for stage in longer.members if stage not in unit.attack.members]
    return [replace(unit, attack=stage, library=library_of(stage)) for stage in changed]


def silent_success(control: Control) -> Iterator[Evidence]:
    """Samples on which the attack failed though it had been through an adversarial."""
    failed = ~control.base.broken
    silent = int(((control.margins[:-1] < 0).any(0) & failed).sum())
    yield _evidence("silent-success", silent, int(failed.sum()), "failed samples had been broken on the way")


def incomplete_optimisation(control: Control) -> Iterator[Evidence]:
    """Samples on which the attack failed and was still gaining when it ended."""
    failed = ~control.base.broken
    stopped = int((_still_gaining(control.margins) & failed).sum())
    what = "failed samples were still losing margin"
    yield _evidence("incomplete-optimisation", stopped, int(failed.sum()), what)


def _still_gaining(margins: Floats) -> Bools:
    """Per sample, whether the best margin so far (steps x N, in [0, 1]) still falls over the last steps."""
    best = np.minimum.accumulate(margins, axis=0)
    span = margins.max(0) - margins.min(0)
    last = min(LAST_STEPS, len(margins) // 2)
    gain: Bools = (best[-last] - best[-1]) > CONVERGED * np.where(span > 0, span, 1)
    return gain
