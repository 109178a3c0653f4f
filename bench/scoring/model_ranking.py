"""How the models of a stored run rank: trust, worst case and rank, from the outcomes alone."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce

import numpy as np

from bench.errors import NotComparableError
from bench.ids import AttackEps, ModelId
from bench.scoring.adaptive import check_draws
from bench.scoring.chances import mean_chance
from bench.scoring.comparison import WORST_CASE, Comparison, Outcome, compare_models, ranks
from bench.scoring.grading import grade_model
from bench.scoring.labels import check_labels
from bench.scoring.overfitting import with_training
from bench.scoring.record_checks import Scored
from bench.scoring.soundness import is_sound, support, why_unsound
from bench.scoring.standing import Standing
from bench.scoring.statistics import Proportion
from bench.scoring.trust import CellTrust, Finding, Grade
from bench.store import RUN_FILE, CellEntry, ModelEntry, StoredRun
from bench.store.evidence import Evidence
from bench.store.records import Bools, Chances


@dataclass(frozen=True)
class Place:
    """Where a model stands.

    ``worst_case`` is its robust accuracy at the headline eps against the worst attack on each sample.

    ``rank`` is 1 + the number of models shown to be more robust, see bench.scoring.standing. Where it is
    None, ``unranked`` says why. ``trust`` is the grade of the cell on which the worst case rests, see
    bench.scoring.soundness.
    """

    model: ModelId
    accuracy: Proportion | None
    worst_case: Proportion | None
    rank: int | None
    trust: Grade
    unranked: str | None

    @property
    def standing(self) -> Standing:
        """What it is listed by."""
        robust, clean = (None if s is None else s.value for s in (self.worst_case, self.accuracy))
        return Standing(self.model, self.rank, robust, clean)


@dataclass(frozen=True)
class ModelRanking:
    """The models of a run, ranked, best first, and what their ranks rest on.

    ``cells`` are the finished ones; ``done`` has what came out of them and ``grades`` their trust, by key,
    which the cells of equal models share; ``graded`` has a grade for each cell. ``worst_cases`` are the
    outcomes at the headline eps, of which ``sound`` are those that can rank and ``headline`` compares every
    pair. ``trust_cost`` is the time of the trust checks over that of the attacks; None where either is not
    known.
    """

    suite: str
    status: str
    headline_eps: Fraction
    places: tuple[Place, ...]
    cells: tuple[Scored, ...]
    done: dict[str, Scored]
    grades: dict[str, CellTrust]
    graded: tuple[Grade, ...]
    worst_cases: dict[ModelId, Outcome]
    sound: dict[ModelId, Outcome]
    headline: tuple[Comparison, ...]
    trust_cost: float | None


def rank_models(run: StoredRun) -> ModelRanking:
    """The models of the stored ``run``, ranked.

    Raises NotComparableError if it has cells of a model that it does not name.
    """
    header = run.header
    _check_models(run)
    cells = tuple(Scored(c, run.outcomes(c.key)) for c in header.cells if c.status == "ok")
    done = {cell.entry.key: cell for cell in cells}
    grades = _trust(run, cells)
    attacked = _attacked(header.models, header.cells, done, header.headline_eps)
    worst_cases = {model: outcome_of(cells) for model, cells in attacked.items()}
    sound = {model: outcome for model, outcome in worst_cases.items() if is_sound(attacked[model], grades)}
    where = AttackEps(WORST_CASE, header.headline_eps)
    headline = compare_models(
        {model: {where: outcome} for model, outcome in sound.items()}, across=True, headline=where.eps
    )
    places = [_place(m, finished_of(m, run), done, grades, attacked.get(m.id, ())) for m in header.models]
    return ModelRanking(
        suite=header.suite_name,
        status="complete" if all(c.status == "ok" for c in header.cells) else "incomplete",
        headline_eps=where.eps,
        places=_ranked(places, ranks(list(sound), headline)),
        cells=cells,
        done=done,
        grades=grades,
        graded=tuple(grades[c.key].grade for c in header.cells if c.key in grades),
        worst_cases=worst_cases,
        sound=sound,
        headline=headline,
        trust_cost=_trust_cost(run),
    )


def _check_models(run: StoredRun) -> None:
    models = Counter(m.id for m in run.header.models)
    strangers = dict.fromkeys(c.id.model for c in run.header.cells if c.id.model not in models)
    lost = [f"cells of {model}, which is not among the models" for model in strangers]
    lost += [f"{model} twice" for model, count in models.items() if count > 1]
    if lost:
        raise NotComparableError(
            f"{run.path / RUN_FILE}: has {lost[0]}: it was changed by hand; run the suite again"
        )


def finished_of(model: ModelEntry, run: StoredRun) -> list[CellEntry]:
    """The cells of ``model`` in ``run`` that have numbers."""
    return [c for c in run.header.cells if c.id.model == model.id and c.status == "ok"]


def _trust_cost(run: StoredRun) -> float | None:
    checking, attacking = run.checking_seconds(), sum(cell.seconds or 0 for cell in run.header.cells)
    return checking / attacking if checking and attacking else None


def _trust(run: StoredRun, done: Sequence[Scored]) -> dict[str, CellTrust]:
    """The trust of each finished cell, by key."""
    by_model: dict[ModelId, list[Scored]] = defaultdict(list)
    for cell in done:
        by_model[cell.entry.id.model].append(cell)
    evidence, sha256 = run.evidence(), {m.id: m.sha256 for m in run.header.models}
    ids = done[0].outcomes.id if done else np.array([], dtype=np.str_)
    entries = {m.id: m for m in run.header.models}
    found: dict[str, CellTrust] = {}
    for model, cells in by_model.items():
        besides = [_labels(run, cells[0].entry), *check_draws(entries[model], run.header.cells)]
        graded = grade_model(cells, ids, _evidence_on(model, evidence, sha256), *besides)
        robust = entries[model].robust
        found |= {c.entry.key: with_training(graded[c.entry.key], c.entry.kind, robust) for c in cells}
    return found


def _evidence_on(
    model: ModelId, evidence: Sequence[Evidence], sha256: Mapping[ModelId, str]
) -> list[Evidence]:
    """The evidence on ``model``, or on the first that is equal to it: of equals only one is examined."""
    equal = [other for other in sha256 if sha256[other] == sha256[model]]
    named = [[e for e in evidence if e.subject == other] for other in (model, *equal)]
    return next((found for found in named if found), [])


def _labels(run: StoredRun, cell: CellEntry) -> Finding:
    """Whether the labels are those of the network of ``cell``.

    Its clean predictions are those of all the model's cells.
    """
    records, data = run.records(cell.key), run.header.data
    certainty = float(records.clean_prob.mean()) if len(records) else 0.0
    return check_labels(records.label, records.clean_pred, certainty, data.classes if data else ())


def _attacked(
    models: Iterable[ModelEntry], cells: Sequence[CellEntry], done: dict[str, Scored], eps: Fraction
) -> dict[ModelId, list[Scored]]:
    """Each model's cells at the headline eps, every attack through every library, where all have finished."""
    found = {}
    for m in models:
        keys = [c.key for c in cells if c.eps == eps and c.id.model == m.id]
        if keys and all(key in done for key in keys):
            found[m.id] = [done[key] for key in keys]
    return found


def outcome_of(cells: Sequence[Scored]) -> Outcome:
    """``cells`` of one model as one attacker: a sample is wrong if any breaks it, or the worst of them does.

    On each sample of a random model, the worst attack is chosen by other draws than it is judged by.
    """
    correct, found = cells[0].correct, [c.outcomes.chances for c in cells]
    chances = [one for one in found if one is not None]
    wrong = ~correct | broken_by_any(cells)
    if len(chances) < len(cells):
        return Outcome(correct, wrong)
    choices = np.stack([one.choice for one in chances])
    worst = choices.argmin(0), np.arange(len(correct))
    after = np.stack([one.after for one in chances])[worst]
    return Outcome(correct, wrong, Chances(chances[0].before, after, choices[worst]))


def broken_by_any(cells: Sequence[Scored]) -> Bools:
    """Of each sample, whether one of ``cells`` breaks it."""
    return reduce(np.logical_or, (c.success for c in cells))


def _place(
    entry: ModelEntry,
    own: Sequence[CellEntry],
    done: Mapping[str, Scored],
    grades: Mapping[str, CellTrust],
    attacked: Sequence[Scored],
) -> Place:
    """``entry`` before it is ranked.

    ``own``: its finished cells; ``attacked``: those at the headline eps, if all have.
    """
    return Place(
        entry.id,
        accuracy=mean_chance(outcome_of([done[own[0].key]]).before) if own else None,
        worst_case=mean_chance(outcome_of(attacked).robust) if attacked else None,
        rank=None,
        trust=_trust_of(attacked, grades),
        unranked=_why_unranked(attacked, grades),
    )


def _trust_of(attacked: Sequence[Scored], grades: Mapping[str, CellTrust]) -> Grade:
    if not attacked:
        return "unchecked"
    return grades[support(attacked, grades).entry.key].grade if is_sound(attacked, grades) else "fail"


def _why_unranked(attacked: Sequence[Scored], grades: Mapping[str, CellTrust]) -> str | None:
    if not attacked:
        return "not every attack at the headline eps has numbers"
    return None if is_sound(attacked, grades) else why_unsound(attacked, grades)


def _ranked(models: Sequence[Place], rank: Mapping[ModelId, int]) -> tuple[Place, ...]:
    """Ranked, best first; models that cannot rank come last."""
    placed = (replace(m, rank=rank.get(m.model)) for m in models)
    return tuple(sorted(placed, key=lambda m: m.standing.key()))
