"""Scores a stored run: everything that tables, files and gates show, computed once."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import combinations

import numpy as np

from bench.attacks.library import agreement
from bench.ids import AttackEps, ModelId, UnitId
from bench.scoring.certainty import Certainties
from bench.scoring.chances import success_rate
from bench.scoring.claims import Outcomes, claims
from bench.scoring.classes import ClassScores, class_scores, with_strongest
from bench.scoring.comparison import Outcome, compare_models
from bench.scoring.crosscheck import CrossCheck, judge
from bench.scoring.curves import SecurityCurve, fixed_budget_curve, minimum_norm_curve
from bench.scoring.defended import defence_scores
from bench.scoring.metrics import Metrics, metrics
from bench.scoring.model_ranking import ModelRanking, finished_of, outcome_of, rank_models
from bench.scoring.over_seeds import seed_rates, seed_scores
from bench.scoring.queries import QueryScore, query_scores
from bench.scoring.record_checks import Scored
from bench.scoring.robust_training import answers
from bench.scoring.scorecard import AttackScore, CellScore, CurveScore, ModelScore, PrecisionScore, Scorecard
from bench.scoring.seen import what_is_seen
from bench.scoring.soundness import is_sound
from bench.scoring.statistics import proportion
from bench.scoring.trust import CellTrust, worst
from bench.store import CellEntry, ModelEntry, StoredRun
from bench.store.records import Records


def score(run: StoredRun) -> Scorecard:
    """Score the stored ``run``.

    Records are read one group of cells at a time; of each only the numbers are kept.
    """
    header, model_ranking = run.header, rank_models(run)
    done, grades = model_ranking.done, model_ranking.grades
    groups = by_attack(header.cells)
    read = _read(run, groups)
    numbers = read.numbers
    outcomes = _outcomes(header.models, groups, done)
    trusted = _trusted(outcomes, groups, done, grades)
    said = claims(run, model_ranking.sound, trusted)
    models = tuple(_model_scores(run, model_ranking, numbers))
    known = {m.model: (m.certainty or 0.0, m.trust) for m in models}
    return Scorecard(
        suite=model_ranking.suite,
        run_id=header.run_id,
        status=model_ranking.status,
        headline_eps=model_ranking.headline_eps,
        models=models,
        cells=tuple(CellScore(c, numbers.get(c.key), grades.get(c.key)) for c in header.cells),
        attacks=tuple(_attack_scores(groups, done, grades)),
        crosschecks=tuple(read.crosschecks),
        comparisons=compare_models(trusted, across=False, headline=model_ranking.headline_eps),
        headline=model_ranking.headline,
        curves=tuple(_curves(run, header.cells, done, numbers)),
        seeds=seed_scores(model_ranking.worst_cases, set(model_ranking.sound), known, said, read.certainties),
        seed_rates=tuple(seed_rates(outcomes, model_ranking, numbers, read.certainties)),
        claims=said,
        baseline=header.models[0].model if header.models else "",
        trust_level=str(header.suite.get("trust", "")),
        trust_cost=model_ranking.trust_cost,
        queries=tuple(_queries(run, model_ranking)),
        precision=_precision(run),
        data=header.data,
        seen=what_is_seen(header),
        defences=defence_scores(header.models, model_ranking),
        answers=answers(header, model_ranking.sound),
        classes=with_strongest(read.classes),
        carried=_carried(run),
    )


@dataclass
class _Read:
    """What records tell: finished cells' numbers by key, cross-checks, cells at the headline eps by class."""

    certainties: Certainties
    numbers: dict[str, Metrics] = field(default_factory=dict)
    crosschecks: list[CrossCheck] = field(default_factory=list)
    classes: list[ClassScores] = field(default_factory=list)


def _read(run: StoredRun, groups: Iterable[list[CellEntry]]) -> _Read:
    """Reads the records of each group, which alone are held at a time."""
    header = run.header
    found = _Read(Certainties(m.id for m in header.models))
    names = header.data.classes if header.data else ()
    for group in groups:
        records = {c.library: run.records(c.key) for c in group if c.status == "ok"}
        done = [c for c in group if c.library in records]
        found.numbers.update({c.key: metrics(records[c.library]) for c in done})
        found.crosschecks += _crosschecks(group, records)
        found.certainties.add(group[0].id.model, group[0].id.attack_eps, records)
        for cell in done if group[0].eps == header.headline_eps else ():
            found.classes += class_scores(cell, records[cell.library], names)
    return found


def by_attack(cells: Iterable[CellEntry]) -> list[list[CellEntry]]:
    """The cells that differ only in their library, together."""
    groups: dict[tuple[ModelId, AttackEps], list[CellEntry]] = defaultdict(list)
    for cell in cells:
        groups[cell.id.model, cell.id.attack_eps].append(cell)
    return list(groups.values())


def _has_rate(group: list[CellEntry]) -> bool:
    """Something of ``group`` was run, and all that was run has numbers."""
    return {c.status for c in group} - {"missing"} == {"ok"}


def _attack_scores(
    groups: Iterable[list[CellEntry]], done: dict[str, Scored], grades: dict[str, CellTrust]
) -> Iterable[AttackScore]:
    """Each attack at one eps through all libraries that have finished it."""
    for group in filter(_has_rate, groups):
        own = [done[cell.key] for cell in group if cell.key in done]
        first, outcome = own[0].entry, outcome_of(own)
        trust = worst([grades[c.entry.key].grade for c in own])
        asr = success_rate(outcome.before, outcome.robust)
        yield AttackScore(first.id.model, first.attack, first.eps, asr, trust)


def _crosschecks(group: list[CellEntry], records: Mapping[str, Records]) -> Iterable[CrossCheck]:
    """Each library of ``group`` against each other one; one that has none beside it stands alone."""
    if len(group) == 1:
        yield _crosscheck(group[0], None, records)
    for first, second in combinations(group, 2):
        yield _crosscheck(first, second, records)


def _crosscheck(first: CellEntry, second: CellEntry | None, records: Mapping[str, Records]) -> CrossCheck:
    both = [first] if second is None else [first, second]
    named = first.library, "" if second is None else second.library
    asked = CrossCheck(first.id.model, first.attack, first.eps, *named, "one library")
    if all(cell.status == "missing" for cell in both):
        return replace(asked, verdict="not run")
    if second is None:
        return asked
    if any(cell.status == "error" for cell in both):
        return replace(asked, verdict="incomplete")
    if any(cell.library not in records for cell in both):
        return asked
    pairing = agreement(first.pairing, second.pairing)
    return judge(asked, pairing, first.norm, records[first.library], records[second.library])


def _outcomes(
    models: Iterable[ModelEntry], groups: list[list[CellEntry]], done: dict[str, Scored]
) -> dict[ModelId, dict[AttackEps, Outcome]]:
    """Per model, attack and eps, with all libraries as one attacker; only where each of them has finished."""
    found: dict[ModelId, dict[AttackEps, Outcome]] = {m.id: {} for m in models}
    for group in groups:
        if all(c.key in done for c in group):
            cell = group[0].id
            found[cell.model][cell.attack_eps] = outcome_of([done[c.key] for c in group])
    return found


def _model_scores(
    run: StoredRun, model_ranking: ModelRanking, numbers: Mapping[str, Metrics]
) -> Iterable[ModelScore]:
    """The models as ranked, with what only their records tell."""
    entries = {m.id: m for m in run.header.models}
    for place in model_ranking.places:
        entry = entries[place.model]
        own = finished_of(entry, run)
        attacked = [numbers[c.key].certainty_adv for c in own if c.eps == run.header.headline_eps]
        yield ModelScore(
            **vars(place),
            method=entry.method,
            trainable_parameters=entry.trainable_parameters,
            parameters=entry.parameters,
            certainty=numbers[own[0].key].certainty if own else None,
            certainty_adv=None if place.worst_case is None else float(np.mean(attacked)),
            preprocessing=entry.preprocessing,
            notes=entry.notes,
            losses=entry.losses,
            robust=entry.robust,
        )


def _trusted(
    outcomes: Outcomes,
    groups: Iterable[list[CellEntry]],
    done: Mapping[str, Scored],
    grades: Mapping[str, CellTrust],
) -> dict[ModelId, dict[AttackEps, Outcome]]:
    """The ``outcomes`` that can be compared: a failed attack does not tell which model is more robust."""
    cells = {(g[0].id.model, g[0].id.attack_eps): [done[c.key] for c in g if c.key in done] for g in groups}
    return {m: {w: o for w, o in own.items() if is_sound(cells[m, w], grades)} for m, own in outcomes.items()}


def _curves(
    run: StoredRun, cells: Iterable[CellEntry], done: Mapping[str, Scored], numbers: Mapping[str, Metrics]
) -> Iterable[CurveScore]:
    units: dict[UnitId, list[Scored]] = defaultdict(list)
    for cell in cells:
        if cell.key in done:
            units[cell.id.unit].append(done[cell.key])
    for unit, found in units.items():
        grid = sorted(found, key=lambda c: c.eps)
        entry = grid[0].entry
        yield CurveScore(
            unit.model, unit.attack, unit.library, entry.norm, entry.budget, _curve(run, grid, numbers)
        )


def _curve(run: StoredRun, grid: Sequence[Scored], numbers: Mapping[str, Metrics]) -> SecurityCurve:
    eps = [float(c.eps) for c in grid]
    last = grid[-1]
    if last.entry.budget == "minimum-norm":
        distance = run.records(last.entry.key).distance
        if distance is not None:
            return minimum_norm_curve(last.correct, distance, eps)
    found = [numbers[c.entry.key] for c in grid]
    return fixed_budget_curve(found[-1].accuracy.value, eps, [m.robust_accuracy.value for m in found])


def _queries(run: StoredRun, ranking: ModelRanking) -> Iterable[QueryScore]:
    cells = _black_box(ranking.cells, run.header.headline_eps)
    return query_scores((cell, run.records(cell.key)) for cell in cells)


def _black_box(cells: Sequence[Scored], headline: Fraction) -> list[CellEntry]:
    """One finished cell of each black-box unit: that at the headline eps, else that at the largest."""
    chosen: dict[UnitId, CellEntry] = {}
    for e in sorted((c.entry for c in cells), key=lambda e: (e.eps == headline, e.eps)):
        if e.access in ("score", "decision"):
            chosen[e.id.unit] = e
    return [c.entry for c in cells if c.entry in chosen.values()]


def _carried(run: StoredRun) -> tuple[str, ...]:
    """As its suite says it itself: in runs of before there was such a thing, none does."""
    declared = [attack for attack in run.header.suite.get("attacks", ()) if attack.get("grid") == "carry"]
    return tuple(dict.fromkeys(str(attack.get("name") or attack.get("attack")) for attack in declared))


def _precision(run: StoredRun) -> PrecisionScore | None:
    crafted = str(run.header.suite.get("precision", "fp32"))
    if crafted == "fp32":
        return None
    found = [e for e in run.evidence() if e.check == "precision" and e.value is not None]
    differ, n = sum(round((e.value or 0) * e.n) for e in found), sum(e.n for e in found)
    return PrecisionScore(crafted, proportion(differ, n) if n else None)
