"""A stored run -> its Scorecard: everything that tables, files and gates show, computed once."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce

import numpy as np

from bench.eps import format_eps
from bench.evidence import Evidence
from bench.records import Bools, Records
from bench.scoring.claims import Claim, Outcomes, claims
from bench.scoring.comparison import WORST_CASE, Comparison, Model, Outcome, compare_models, ranks
from bench.scoring.crosscheck import CrossCheck, judge
from bench.scoring.curves import SecurityCurve, fixed_budget_curve, minimum_norm_curve
from bench.scoring.metrics import Metrics, metrics
from bench.scoring.over_seeds import SeedRate, SeedScore, seed_rates, seed_scores
from bench.scoring.queries import QueryScore, query_scores
from bench.scoring.record_checks import Neighbours, Scored, check_records
from bench.scoring.soundness import is_sound, support, why_unsound
from bench.scoring.statistics import Proportion, proportion
from bench.scoring.trust import CellTrust, Grade, cell_trust, judge_evidence, worst
from bench.store import CellEntry, ModelEntry, StoredRun


@dataclass(frozen=True)
class CellScore:
    """One cell: what was run, what came out. ``metrics`` and ``trust`` are None unless ``entry.status`` is "ok"."""

    entry: CellEntry
    metrics: Metrics | None
    trust: CellTrust | None = None


@dataclass(frozen=True)
class AttackScore:
    """One attack at one eps on one model: a sample counts as broken if either library breaks it.

    ``trust`` is the worst grade of the libraries' cells.
    """

    model: str
    seed: int
    attack: str
    eps: str
    asr: Proportion
    trust: Grade = "unchecked"


@dataclass(frozen=True)
class ModelScore:
    """One model. ``worst_case`` is its robust accuracy at the headline eps against the worst attack on each sample.

    ``rank`` is 1 + the number of models shown to be more robust: models that cannot be told apart share it. Where it is None,
    ``unranked`` says why. ``trust`` is the grade of the cell on which the worst case rests, see bench.scoring.soundness.
    """

    model: str
    seed: int
    method: str
    trainable_parameters: int
    parameters: int
    accuracy: Proportion | None
    certainty: float | None
    certainty_adv: float | None
    worst_case: Proportion | None
    rank: int | None = None
    trust: Grade = "unchecked"
    unranked: str | None = None


@dataclass(frozen=True)
class CurveScore:
    """The security curve of one model under one attack through one library; ``budget`` is the contract's."""

    model: str
    seed: int
    attack: str
    library: str
    norm: str
    budget: str
    curve: SecurityCurve


@dataclass(frozen=True)
class PrecisionScore:
    """Of the outcomes that were crafted again in float32, the share that is another one there than in ``crafted``.

    ``differs`` is None where none was crafted again.
    """

    crafted: str
    differs: Proportion | None


@dataclass(frozen=True)
class Scorecard:
    """A scored run. ``models`` are ranked by worst case, best first; ``status`` is "complete" or "incomplete".

    ``comparisons`` are of every pair of models (of equal seed) under every attack at every eps, and ``headline`` of every pair
    in the worst case at the headline eps, where both are sound. ``claims`` compare what holds besides, and over training seeds,
    where ``seeds`` and ``seed_rates`` sum up each model. ``baseline`` is the model that the suite declares first.
    ``trust_cost`` is the time of the trust checks over that of the attacks; None where either is not known.
    ``queries`` are of every black-box attack at the headline eps, or at its largest where the suite does not run it at that.
    ``precision`` is None where all is float32.
    """

    suite: str
    run_id: str
    status: str
    headline_eps: str
    models: tuple[ModelScore, ...]
    cells: tuple[CellScore, ...]
    attacks: tuple[AttackScore, ...]
    crosschecks: tuple[CrossCheck, ...]
    comparisons: tuple[Comparison, ...] = ()
    headline: tuple[Comparison, ...] = ()
    curves: tuple[CurveScore, ...] = ()
    seeds: tuple[SeedScore, ...] = ()
    seed_rates: tuple[SeedRate, ...] = ()
    claims: tuple[Claim, ...] = ()
    baseline: str = ""
    trust_cost: float | None = None
    queries: tuple[QueryScore, ...] = ()
    precision: PrecisionScore | None = None


def score(run: StoredRun) -> Scorecard:
    """Score the stored ``run``. Records are read one cell at a time; of each only two bits a sample are kept."""
    header = run.header
    groups = _by_attack(header.cells)
    done, crosschecks = _read(run, groups)
    grades = _trust(run, done)
    attacks = tuple(_attack_score(group, done, grades) for group in groups if all(c.key in done for c in group))
    attacked = _attacked(header.models, header.cells, done, header.headline_eps)
    worst_cases = {model: _outcome(cells) for model, cells in attacked.items()}
    sound = {model: outcome for model, outcome in worst_cases.items() if is_sound(attacked[model], grades)}
    outcomes = _outcomes(header.models, groups, done)
    trusted = _trusted(outcomes, groups, done, grades)
    said = claims(run, sound, trusted)
    where = (WORST_CASE, format_eps(Fraction(header.headline_eps)))
    headline = compare_models({model: {where: outcome} for model, outcome in sound.items()}, across=True)
    models = [_model_score(m, header.cells, done, grades, attacked.get((m.model, m.seed), ())) for m in header.models]
    return Scorecard(
        suite=header.suite_name,
        run_id=header.run_id,
        status="complete" if len(done) == len(header.cells) else "incomplete",
        headline_eps=format_eps(Fraction(header.headline_eps)),
        models=_ranked(models, ranks(list(sound), headline)),
        cells=tuple(CellScore(c, done[c.key].metrics if c.key in done else None, grades.get(c.key)) for c in header.cells),
        attacks=attacks,
        crosschecks=tuple(crosschecks),
        comparisons=compare_models(trusted, across=False),
        headline=headline,
        curves=tuple(_curves(run, header.cells, done)),
        seeds=seed_scores(worst_cases, set(sound), {(m.model, m.seed): (m.certainty or 0.0, m.trust) for m in models}, said),
        seed_rates=tuple(seed_rates(outcomes, done.values(), grades)),
        claims=said,
        baseline=header.models[0].model if header.models else "",
        trust_cost=_trust_cost(run),
        queries=tuple(query_scores((c, run.records(c.key)) for c in _black_box(done, header.headline_eps))),
        precision=_precision(run),
    )


def _trust_cost(run: StoredRun) -> float | None:
    checking, attacking = run.checking_seconds(), sum(cell.seconds or 0 for cell in run.header.cells)
    return checking / attacking if checking and attacking else None


def _read(run: StoredRun, groups: Iterable[list[CellEntry]]) -> tuple[dict[str, Scored], list[CrossCheck]]:
    """The finished cells by key, and the cross-check of each group; no more than one group's records are held at a time."""
    done: dict[str, Scored] = {}
    crosschecks = []
    for group in groups:
        records = {c.library: run.records(c.key) for c in group if c.status == "ok"}
        for c in group:
            if c.library in records:
                r = records[c.library]
                done[c.key] = Scored(c, metrics(r), r.clean_pred == r.label, r.success)
        crosschecks.append(_crosscheck(group, records))
    return done, crosschecks


def _by_attack(cells: Iterable[CellEntry]) -> list[list[CellEntry]]:
    """The cells that differ only in their library, together."""
    groups: dict[tuple[str, int, str, str], list[CellEntry]] = defaultdict(list)
    for cell in cells:
        groups[cell.model, cell.seed, cell.attack, cell.eps].append(cell)
    return list(groups.values())


def _trust(run: StoredRun, done: dict[str, Scored]) -> dict[str, CellTrust]:
    """The trust of each finished cell, by key."""
    by_model: dict[Model, list[Scored]] = defaultdict(list)
    for cell in done.values():
        by_model[cell.entry.model, cell.entry.seed].append(cell)
    evidence = run.evidence()
    ids = run.records(next(iter(done))).id if done else np.array([], dtype=np.str_)
    found: dict[str, CellTrust] = {}
    for model, cells in by_model.items():
        own = [e for e in evidence if (e.model, e.seed) == model]
        around = Neighbours(cells, ids, own)
        for cell in cells:
            about = _about(cell.entry, own)
            findings = check_records(cell, around) + judge_evidence(about)
            found[cell.entry.key] = cell_trust(findings, measured=bool(about))
    return found


def _about(cell: CellEntry, evidence: Sequence[Evidence]) -> list[Evidence]:
    """The evidence on ``cell``: of its model, and of its attack through its library, or through another if that is all."""
    model = [e for e in evidence if e.attack is None]
    attack = [e for e in evidence if e.attack == cell.attack]
    return [*model, *([e for e in attack if e.library == cell.library] or attack)]


def _attack_score(group: list[CellEntry], done: dict[str, Scored], grades: dict[str, CellTrust]) -> AttackScore:
    first = group[0]
    broken = _any(done[cell.key].success for cell in group)
    asr = proportion(int(broken.sum()), int(done[first.key].correct.sum()))
    trust = worst([grades[cell.key].grade for cell in group])
    return AttackScore(first.model, first.seed, first.attack, format_eps(Fraction(first.eps)), asr, trust)


def _crosscheck(group: list[CellEntry], records: Mapping[str, Records]) -> CrossCheck:
    cell = group[0]
    identity = (cell.model, cell.seed, cell.attack, format_eps(Fraction(cell.eps)))
    if len(group) == 1:
        return CrossCheck(*identity, "one library")
    if len(records) < len(group):
        return CrossCheck(*identity, "incomplete")
    return judge(identity, cell.pairing, cell.norm, records["foolbox"], records["art"])


def _outcomes(
    models: Iterable[ModelEntry], groups: list[list[CellEntry]], done: dict[str, Scored]
) -> dict[Model, dict[tuple[str, str], Outcome]]:
    """Per model and (attack, eps), with both libraries as one attacker; only where every library has finished."""
    found: dict[Model, dict[tuple[str, str], Outcome]] = {(m.model, m.seed): {} for m in models}
    for group in groups:
        if all(c.key in done for c in group):
            cell = group[0]
            where = (cell.attack, format_eps(Fraction(cell.eps)))
            found[cell.model, cell.seed][where] = _outcome([done[c.key] for c in group])
    return found


def _trusted(
    outcomes: Outcomes, groups: Iterable[list[CellEntry]], done: Mapping[str, Scored], grades: Mapping[str, CellTrust]
) -> dict[Model, dict[tuple[str, str], Outcome]]:
    """Those of ``outcomes`` that can be compared: a failed attack says nothing of which model is more robust."""
    cells = {
        ((g[0].model, g[0].seed), (g[0].attack, format_eps(Fraction(g[0].eps)))): [done[c.key] for c in g if c.key in done]
        for g in groups
    }
    return {m: {w: o for w, o in own.items() if is_sound(cells[m, w], grades)} for m, own in outcomes.items()}


def _attacked(
    models: Iterable[ModelEntry], cells: Sequence[CellEntry], done: dict[str, Scored], eps: str
) -> dict[Model, list[Scored]]:
    """Each model's cells at the headline eps, every attack through every library, where all have finished."""
    found = {}
    for m in models:
        keys = [c.key for c in cells if (c.model, c.seed, c.eps) == (m.model, m.seed, eps)]
        if keys and all(key in done for key in keys):
            found[m.model, m.seed] = [done[key] for key in keys]
    return found


def _outcome(cells: Sequence[Scored]) -> Outcome:
    correct = cells[0].correct
    return Outcome(correct, ~correct | _any(c.success for c in cells))


def _model_score(
    entry: ModelEntry,
    all_cells: Sequence[CellEntry],
    done: Mapping[str, Scored],
    grades: Mapping[str, CellTrust],
    attacked: Sequence[Scored],
) -> ModelScore:
    """``attacked``: its cells at the headline eps, if all have finished."""
    first = next(
        (done[c.key].metrics for c in all_cells if (c.model, c.seed) == (entry.model, entry.seed) and c.key in done), None
    )
    held = ~_outcome(attacked).wrong if attacked else None
    return ModelScore(
        entry.model,
        entry.seed,
        entry.method,
        entry.trainable_parameters,
        entry.parameters,
        accuracy=first.accuracy if first else None,
        certainty=first.certainty if first else None,
        certainty_adv=None if held is None else float(np.mean([c.metrics.certainty_adv for c in attacked])),
        worst_case=None if held is None else proportion(int(held.sum()), len(held)),
        trust=grades[support(attacked, grades).entry.key].grade if attacked else "unchecked",
        unranked=_why_unranked(attacked, grades),
    )


def _why_unranked(attacked: Sequence[Scored], grades: Mapping[str, CellTrust]) -> str | None:
    if not attacked:
        return "not every attack at the headline eps has finished"
    return None if is_sound(attacked, grades) else why_unsound(attacked, grades)


def _ranked(models: Sequence[ModelScore], rank: Mapping[Model, int]) -> tuple[ModelScore, ...]:
    """Ranked, best first; models that cannot rank come last."""
    placed = [replace(m, rank=rank.get((m.model, m.seed))) for m in models]
    return tuple(sorted(placed, key=lambda m: (m.rank or len(placed) + 1, -m.worst_case.value if m.worst_case else 1.0)))


def _curves(run: StoredRun, cells: Iterable[CellEntry], done: dict[str, Scored]) -> Iterable[CurveScore]:
    units: dict[tuple[str, int, str, str], list[Scored]] = defaultdict(list)
    for cell in cells:
        if cell.key in done:
            units[cell.model, cell.seed, cell.attack, cell.library].append(done[cell.key])
    for (model, seed, attack, library), found in units.items():
        grid = sorted(found, key=lambda c: c.eps)
        entry = grid[0].entry
        yield CurveScore(model, seed, attack, library, entry.norm, entry.budget, _curve(run, grid))


def _curve(run: StoredRun, grid: Sequence[Scored]) -> SecurityCurve:
    eps = [float(c.eps) for c in grid]
    last = grid[-1]
    if last.entry.budget == "minimum-norm":
        distance = run.records(last.entry.key).distance
        if distance is not None:
            return minimum_norm_curve(last.correct, distance, eps)
    return fixed_budget_curve(last.metrics.accuracy.value, eps, [c.metrics.robust_accuracy.value for c in grid])


def _black_box(done: Mapping[str, Scored], headline: str) -> list[CellEntry]:
    """One finished cell of each black-box unit: that at the headline eps, else that at the largest."""
    chosen: dict[tuple[str, int, str, str], CellEntry] = {}
    for cell in sorted(done.values(), key=lambda c: (c.entry.eps == headline, c.eps)):
        e = cell.entry
        if e.access in ("score", "decision"):
            chosen[e.model, e.seed, e.attack, e.library] = e
    return [e for e in (c.entry for c in done.values()) if e in chosen.values()]


def _precision(run: StoredRun) -> PrecisionScore | None:
    crafted = str(run.header.suite.get("precision", "fp32"))
    if crafted == "fp32":
        return None
    found = [e for e in run.evidence() if e.check == "precision" and e.value is not None]
    differ, n = sum(round((e.value or 0) * e.n) for e in found), sum(e.n for e in found)
    return PrecisionScore(crafted, proportion(differ, n) if n else None)


def _any(flags: Iterable[Bools]) -> Bools:
    return reduce(np.logical_or, flags)
