"""One model: every probe and control, as evidence."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache, partial

import numpy as np

from adapters.classifier import Classifier, tensors
from adapters.fast.packed import for_few
from bench.attacks.attack import Norm
from bench.attacks.spec import contract_of
from bench.engine.plan import Unit
from bench.engine.runner import Target
from bench.store.evidence import Evidence
from bench.store.records import Bools
from bench.trust.binarisation import NORMS, make_twins, planted
from bench.trust.controls import HUGE, attack_controls, outcomes_in_float32
from bench.trust.effort import DRAWS, PARTS, Effort, Part
from bench.trust.measuring import guarded, measured
from bench.trust.noise import noise
from bench.trust.probe import Probe, make_probe
from bench.trust.probes import gives_gradients
from bench.trust.recorder import spread, subset, take
from bench.trust.repeatability import judged_again
from bench.trust.slope import slope_where_attacked
from bench.trust.sources import Source
from bench.trust.squares import search_where_descent_failed
from bench.trust.stronger import Reach, hardest, held_of, stronger

THROUGH_GRADIENTS: tuple[Part, ...] = ("float32", "planted twins")
"""Parts that are left out of a model which gives answers alone."""
QUICK = 4
"""Samples on which the form for a few of them is checked."""
WITHSTOOD = 8
"""Samples that the attacks leave unbroken, whose gradients are looked at where an attack has moved them."""


@dataclass(frozen=True)
class Subject:
    """A model examined: as trained (``raw``), as attacked (``target``), and the eps models are ranked at.

    ``broken``: by norm, which samples the suite's attacks break at the eps that is examined
    (``examined_eps``); those that hold tell most. ``by_unit``: which each of them breaks, where it would
    again. ``siblings`` are models whose adversarials are tried on this one, ``libraries`` those that it is
    attacked through.
    """

    raw: Classifier
    target: Target
    headline: Fraction
    broken: Mapping[str, Bools] = field(default_factory=dict)
    siblings: Sequence[Source] = ()
    libraries: Sequence[str] = ()
    by_unit: Mapping[Unit, Bools] = field(default_factory=dict)


def examine(subject: Subject, effort: Effort, parts: Sequence[Part] = PARTS) -> list[Evidence]:
    """What ``parts`` measure of ``subject`` and the attacks in ``effort.light``; none depends on another.

    What cannot be afforded is measured on no samples.
    """
    if not effort.light or not len(subject.target.correct):
        return []
    unit = next(iter(effort.light))
    budgets = _budgets(subject, effort)
    probe = make_probe(subject.raw, subject.target, effort.probed, subject.libraries, budgets)
    measure: dict[Part, Callable[[], Iterable[Evidence]]] = {
        "stronger attacks": partial(_stronger, subject, budgets, probe, effort),
        "probes": partial(measured, "model", probe),
        "controls": partial(_controls, subject, effort),
        "float32": partial(_in_float32, subject, effort),
        "planted twins": partial(_twins, subject, effort),
    }
    possible = [part for part in parts if gives_gradients(probe) or part not in THROUGH_GRADIENTS]
    found = [e for part in possible for e in measure[part]()]
    return [replace(e, model=unit.model.name, seed=unit.model.seed) for e in found]


def _stronger(
    subject: Subject, budgets: Mapping[Norm, Fraction], probe: Probe, effort: Effort
) -> Iterator[Evidence]:
    """What is found within each of ``budgets``; then, of a model asked that much, whether it has changed.

    Of one that gives answers alone, random search: nothing tells what descent would find.
    """
    if not gives_gradients(probe):
        for norm, eps in budgets.items():
            yield from _by_chance(subject, norm, eps, effort)
        return
    untouched = copy.deepcopy(subject.raw)
    for norm, eps in budgets.items():
        yield from _by_chance(subject, norm, eps, effort)
        if norm in NORMS:
            yield from _by_descent(subject, norm, eps, probe.reach, effort)
    again = partial(_judge_again, subject, untouched, budgets, max(effort.probed // 2, 1))
    yield from guarded("state", again)


def _by_chance(subject: Subject, norm: Norm, eps: Fraction, effort: Effort) -> list[Evidence]:
    held = held_of(subject.target, subject.broken.get(norm))
    return guarded("noise", partial(noise, subject.target, norm, eps, effort.noise, DRAWS, held))


def _by_descent(
    subject: Subject, norm: Norm, eps: Fraction, each: float, effort: Effort
) -> Iterator[Evidence]:
    held, own = held_of(subject.target, subject.broken.get(norm)), subject.target.classifier
    reach = Reach(subject.target, norm, eps, held)
    descent = cache(partial(reach.broken_through, own, held, effort.second))
    few = effort.transferred
    yield from guarded("slope", lambda: slope_where_attacked(reach, descent(), each, WITHSTOOD))
    yield from guarded("second-loss", lambda: stronger(reach, descent(), subject.raw, subject.siblings, few))
    yield from guarded("search", lambda: search_where_descent_failed(reach, descent(), effort.searched))


def _budgets(subject: Subject, effort: Effort) -> dict[Norm, Fraction]:
    """The eps that is examined in each norm that has one."""
    return {u.attack.norm: examined_eps(u, subject.headline) for u in effort.light if u.attack.norm in HUGE}


def _controls(subject: Subject, effort: Effort) -> Iterator[Evidence]:
    """What every check of attacks measures of each of them."""
    quick = _quick(subject.target)
    for unit, count in effort.light.items():
        chosen, eps = spread(subject.target, count), examined_eps(unit, subject.headline)
        known = subject.by_unit[unit][chosen] if unit in subject.by_unit else None
        few = take(subject.target, chosen)
        controls = partial(attack_controls, unit, few, subject.raw, eps, known, quick)
        yield from (_about(unit, e) for e in guarded("controls", controls))


def _quick(target: Target) -> Classifier:
    """The classifier of ``target`` for a few samples, where it is crafted on in float32."""
    if target.precision != "fp32":
        return target.classifier
    few, _ = tensors(subset(target, QUICK).samples, target.classifier.device)
    return for_few(target.classifier, few)


def _judge_again(
    subject: Subject, untouched: Classifier, budgets: Mapping[Norm, Fraction], count: int
) -> Iterator[Evidence]:
    """On samples, and on what a descent within the first budget makes of them."""
    usual: tuple[Norm, Fraction] = ("linf", Fraction(8, 255))
    norm, eps = next(((n, eps) for n, eps in budgets.items() if n in NORMS), usual)
    target = subject.target
    few = take(target, hardest(target, subject.broken.get(norm), count))
    clean, _ = tensors(few.samples, few.classifier.device)
    adversarial = Reach(few, norm, eps, few.correct).adversarial()
    others, _ = tensors(
        target.samples.take(np.arange(len(target.samples))[: max(target.batch_size - 2 * len(clean), 0)]),
        few.classifier.device,
    )
    yield from judged_again(few.classifier, untouched, clean, adversarial, others)


def examined_eps(unit: Unit, headline: Fraction) -> Fraction:
    """The headline eps if ``unit`` is run at it, else the middle of its own (another norm, another scale)."""
    grid = [cell.eps for cell in unit.cells]
    return headline if headline in grid else grid[len(grid) // 2]


def _in_float32(subject: Subject, effort: Effort) -> Iterator[Evidence]:
    """Each attack that was crafted in less than float32, crafted again in it."""
    if subject.target.precision == "fp32":
        return
    for unit, count in effort.precision.items():
        chosen = replace(subset(subject.target, count), batch_size=subject.target.batch_size)
        again = partial(outcomes_in_float32, unit, chosen, examined_eps(unit, subject.headline))
        yield from (_about(unit, e) for e in (guarded("precision", again) if count else []))


def _about(unit: Unit, evidence: Evidence) -> Evidence:
    return replace(evidence, attack=unit.attack.label, library=unit.library)


def _twins(subject: Subject, effort: Effort) -> list[Evidence]:
    return guarded("binarisation", partial(_binarise, subject, list(effort.light), effort.planted))


def _binarise(subject: Subject, units: Sequence[Unit], count: int) -> Iterator[Evidence]:
    """Each white-box attack against twins planted in its norm; they have too few classes for the DLR loss."""
    suited = [
        unit
        for unit in units
        if contract_of(unit.attack).access == "white-box" and getattr(unit.attack, "loss", None) != "dlr"
    ]
    for norm in NORMS:
        same = [unit for unit in suited if unit.attack.norm == norm]
        if same:
            eps = examined_eps(same[0], subject.headline)
            twins = make_twins(subset(subject.target, count), norm, float(eps))
            for unit in same:
                yield _about(unit, planted(unit, twins, eps))
