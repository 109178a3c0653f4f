"""One model: every probe and control, as evidence."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

from adapters.classifier import Classifier
from bench.attacks.spec import contract_of
from bench.evidence import Evidence
from bench.plan import Unit
from bench.runner import Target
from bench.trust.binarisation import NORMS, make_twins, planted
from bench.trust.controls import HUGE, attack_controls, outcomes_in_float32
from bench.trust.effort import DRAWS, Effort
from bench.trust.noise import noise
from bench.trust.probes import probe_model
from bench.trust.recorder import subset

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subject:
    """A model under examination: as trained (``raw``), as attacked (``target``), and the eps that models are ranked at."""

    raw: Classifier
    target: Target
    headline: Fraction


def examine(subject: Subject, effort: Effort) -> list[Evidence]:
    """Everything that is measured of ``subject`` and the attacks in ``effort.light``; what cannot be afforded, on none."""
    unit = next(iter(effort.light))
    if not len(subject.target.correct):
        return []
    found = _guarded("probes", partial(probe_model, subject.raw, subject.target, effort.probed))
    budgets = {u.attack.norm: _eps(u, subject.headline) for u in effort.light if u.attack.norm in HUGE}
    for norm, eps in budgets.items():
        found += _guarded("noise", partial(noise, subject.target, norm, eps, effort.noise, DRAWS))
    for u, count in effort.light.items():
        controls = partial(attack_controls, u, subset(subject.target, count), subject.raw, _eps(u, subject.headline))
        found += [_about(u, e) for e in _guarded("controls", controls)]
    if subject.target.precision != "fp32":
        for u, count in effort.precision.items():
            chosen = replace(subset(subject.target, count), batch_size=subject.target.batch_size)
            again = partial(outcomes_in_float32, u, chosen, _eps(u, subject.headline))
            found += [_about(u, e) for e in (_guarded("precision", again) if count else [])]
    found += _guarded("binarisation", partial(_binarise, subject, list(effort.light), effort.planted))
    return [replace(e, model=unit.model, seed=unit.seed) for e in found]


def _eps(unit: Unit, headline: Fraction) -> Fraction:
    """The headline eps where ``unit`` is run at it, else the middle one of its own (another norm has another scale)."""
    grid = [cell.eps for cell in unit.cells]
    return headline if headline in grid else grid[len(grid) // 2]


def _about(unit: Unit, evidence: Evidence) -> Evidence:
    return replace(evidence, attack=unit.attack.label, library=unit.library)


def _binarise(subject: Subject, units: Sequence[Unit], count: int) -> Iterator[Evidence]:
    """Each white-box attack against twins planted in its norm; they have too few classes for the DLR loss."""
    suited = [
        unit for unit in units if contract_of(unit.attack).access == "white-box" and getattr(unit.attack, "loss", None) != "dlr"
    ]
    for norm in NORMS:
        same = [unit for unit in suited if unit.attack.norm == norm]
        if same:
            eps = _eps(same[0], subject.headline)
            twins = make_twins(subset(subject.target, count), norm, float(eps))
            for unit in same:
                yield _about(unit, planted(unit, twins, eps))


def _guarded(check: str, measure: Callable[[], Iterable[Evidence]]) -> list[Evidence]:
    """What ``measure`` finds; if it raises, evidence that it did, so that a check never vanishes in silence."""
    try:
        return list(measure())
    except Exception as error:  # noqa: BLE001 (whatever a library or a model raises is evidence)
        log.warning("the check %s failed: %s: %s", check, type(error).__name__, error)
        return [Evidence(check, "", 0, None, None, None, 0, f"{type(error).__name__}: {error}")]
