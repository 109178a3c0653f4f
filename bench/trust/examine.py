"""One model: every probe and control, as evidence."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from adapters.classifier import Classifier
from bench.evidence import Evidence
from bench.plan import Unit
from bench.runner import Target
from bench.trust.binarisation import make_twins, planted
from bench.trust.controls import attack_controls
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
    """Everything that is measured of ``subject`` and the attacks in ``effort.light``."""
    unit = next(iter(effort.light))
    found = [replace(e, model=unit.model, seed=unit.seed) for e in _examine_model(subject, effort)]
    twins = make_twins(subset(subject.target, effort.heavy), float(subject.headline)) if effort.heavy else []
    for unit, count in effort.light.items():
        found += [
            replace(e, model=unit.model, seed=unit.seed, attack=unit.attack.label, library=unit.library)
            for e in _examine_attack(subject, unit, count, twins)
        ]
    return found


def _examine_model(subject: Subject, effort: Effort) -> list[Evidence]:
    found = probe_model(subject.raw, subject.target)
    norms = dict.fromkeys(unit.attack.norm for unit in effort.light)
    for norm in norms if effort.heavy else ():
        found += _guarded("noise", lambda n=norm: [noise(subject.target, n, float(subject.headline), effort.heavy, DRAWS)])
    return found


def _examine_attack(subject: Subject, unit: Unit, count: int, twins: Sequence[Target]) -> list[Evidence]:
    found = []
    if count:
        chosen = subset(subject.target, count)
        found += _guarded("controls", lambda: attack_controls(unit, chosen, subject.raw, subject.headline))
    if unit.attack.norm == "linf" and getattr(unit.attack, "loss", None) != "dlr":  # a twin has two classes only
        found += _guarded("binarisation", lambda: planted(unit, twins, subject.headline))
    return found


def _guarded(check: str, measure: Callable[[], Iterable[Evidence]]) -> list[Evidence]:
    """What ``measure`` finds; if it raises, evidence that it did, so that a check never vanishes in silence."""
    try:
        return list(measure())
    except Exception as error:  # noqa: BLE001 (whatever a library or a model raises is evidence)
        log.warning("the check %s failed: %s: %s", check, type(error).__name__, error)
        return [Evidence(check, "", 0, None, None, None, 0, f"{type(error).__name__}: {error}")]
