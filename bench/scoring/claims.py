"""Whole methods compared: what holds for a model over its training seeds, and besides robustness."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, combinations
from typing import Literal

import numpy as np
import numpy.typing as npt

from bench.ids import AttackEps, ModelId
from bench.scoring.comparison import ALPHA, WORST_CASE, Outcome, paired, paired_chances
from bench.scoring.statistics import MeanDifference, Table, holm, mean_difference
from bench.store import CellEntry, StoredRun

Quantity = Literal["robust accuracy", "ASR", "accuracy", "certainty"]
Row = npt.NDArray[np.float64]
"""One seed's samples; NaN where the question is not asked of a sample."""
WorstCases = Mapping[ModelId, Outcome]
Outcomes = Mapping[ModelId, Mapping[AttackEps, Outcome]]
Question = tuple[Quantity, str | None]
"""What is compared, and under which attack; None before the attack."""
Asked = tuple[Question, str, Row]
"""What one training seed of the model of this name says on a question."""


@dataclass(frozen=True)
class Claim:
    """The mean of ``quantity`` in ``model`` minus that in ``baseline``, with its 95 % interval.

    Both are on the same ``n`` samples. ``attack`` is None before the attack. Of one training seed, accuracy
    is compared by McNemar's mid-p test and certainty by the paired t test; of several, everything by a t test
    in which samples and trainings both vary. ``p_adjusted`` is Holm's over the claims of the worst case, or
    over the others. ``detectable`` would have been found with probability 0.8; NaN: none would. ``equal``: no
    sample tells the two apart.
    """

    model: str
    baseline: str
    quantity: Quantity
    attack: str | None
    eps: Fraction
    n: int
    seeds: int
    difference: float
    low: float
    high: float
    p_value: float
    p_adjusted: float
    detectable: float
    equal: bool

    @property
    def shown(self) -> bool:
        """Whether the difference stands after correction over the family."""
        return self.p_adjusted <= ALPHA

    @property
    def better(self) -> str | None:
        """The model with the higher mean, if a difference is shown."""
        if not self.shown:
            return None
        return self.model if self.difference > 0 else self.baseline


def claims(run: StoredRun, worst_cases: WorstCases, outcomes: Outcomes) -> tuple[Claim, ...]:
    """Clean accuracy and certainty of every model against the first.

    Certainty is also compared under each attack at the headline eps. Over several seeds also the ASR of each
    attack, and first of all the worst case, of every pair of models.
    """
    eps = run.header.headline_eps
    return claims_among(
        [m.id for m in run.header.models], worst_cases, outcomes, _per_record(run, outcomes, eps), eps
    )


def claims_among(
    models: Sequence[ModelId],
    worst_cases: WorstCases,
    outcomes: Outcomes,
    besides: Iterable[Asked],
    eps: Fraction,
) -> tuple[Claim, ...]:
    """As ``claims``, of ``models``; ``besides`` has what outcomes lack: accuracy and certainty by sample."""
    tables = _tables(models, worst_cases, outcomes, besides, eps)
    names = list(dict.fromkeys(model.name for model in models))
    asked = [
        (second, first, question)
        for question, table in tables.items()
        for first, second in combinations([name for name in names if name in table], 2)
        if first == names[0] or question[0] == "robust accuracy"
        if _answerable(table[second] - table[first])
    ]
    worst = [pair for pair in asked if pair[2][0] == "robust accuracy"]
    return (*_family(worst, tables, eps), *_family(asked[len(worst) :], tables, eps))


def _family(
    asked: Sequence[tuple[str, str, Question]], tables: Mapping[Question, Mapping[str, Table]], eps: Fraction
) -> Iterator[Claim]:
    """Holm-corrected claims; the smallest detectable difference is at the level of Holm's first step."""
    level = ALPHA / max(len(asked), 1)
    found = [
        _claim(a, b, question, eps, tables[question][a], tables[question][b], level)
        for a, b, question in asked
    ]
    adjusted = holm([claim.p_value for claim in found])
    return (replace(claim, p_adjusted=p) for claim, p in zip(found, adjusted, strict=True))


def _tables(
    models: Sequence[ModelId],
    worst_cases: WorstCases,
    outcomes: Outcomes,
    besides: Iterable[Asked],
    eps: Fraction,
) -> dict[Question, dict[str, Table]]:
    """What is compared, by model: only where every seed has finished."""
    seeds = len({model.seed for model in models})
    rows: dict[Question, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    asked = chain(_over_seeds(worst_cases, outcomes, eps) if seeds > 1 else (), besides)
    for question, model, row in asked:
        rows[question][model].append(row)
    return {
        q: {m: np.stack(own) for m, own in table.items() if len(own) == seeds} for q, table in rows.items()
    }


def _over_seeds(worst_cases: WorstCases, outcomes: Outcomes, eps: Fraction) -> Iterator[Asked]:
    """What the paired tests answer where there is one seed only."""
    for model, outcome in worst_cases.items():
        yield ("robust accuracy", WORST_CASE), model.name, outcome.robust
    for model, found in outcomes.items():
        for at, outcome in found.items():
            if at.eps == eps:
                yield ("ASR", at.attack), model.name, outcome.lost


def _per_record(run: StoredRun, outcomes: Outcomes, eps: Fraction) -> Iterator[Asked]:
    """What each model says of clean samples, then how certain each attack in ``outcomes`` leaves it."""
    seen: set[ModelId] = set()
    for cells in _at_headline(run):
        records = [run.records(cell.key) for cell in cells]
        model, first = cells[0].id.model, records[0]
        if model not in seen:
            seen.add(model)
            yield ("accuracy", None), model.name, first.before.astype(np.float64)
            yield ("certainty", None), model.name, first.clean_prob.astype(np.float64)
        if AttackEps(cells[0].attack, eps) in outcomes[model]:
            yield (
                ("certainty", cells[0].attack),
                model.name,
                np.mean([r.adv_prob for r in records], axis=0, dtype=np.float64),
            )


def _at_headline(run: StoredRun) -> Iterator[Sequence[CellEntry]]:
    """The finished cells at the headline eps that differ only in their library, together."""
    groups: dict[tuple[ModelId, str], list[CellEntry]] = defaultdict(list)
    for cell in run.header.cells:
        if cell.eps == run.header.headline_eps:
            groups[cell.id.model, cell.attack].append(cell)
    return (cells for cells in groups.values() if all(cell.status == "ok" for cell in cells))


def _answerable(difference: Table) -> bool:
    """Whether every seed has samples to compare, and there are two at least."""
    asked = ~np.isnan(difference)
    return bool(asked.any(axis=1).all() and asked.any(axis=0).sum() > 1)


def _claim(
    model: str, baseline: str, question: Question, eps: Fraction, first: Table, second: Table, level: float
) -> Claim:
    quantity, attack = question
    seeds, n = len(first), int((~np.isnan(first - second)).any(axis=0).sum())
    exact = quantity == "accuracy" and seeds == 1
    equal = bool((np.nan_to_num(first - second) == 0).all())
    found = _paired(first[0], second[0], level) if exact else mean_difference(first, second, level)
    return Claim(
        model, baseline, quantity, attack, eps, n, seeds, **vars(found), p_adjusted=found.p_value, equal=equal
    )


def _paired(first: Row, second: Row, level: float) -> MeanDifference:
    """By McNemar's test, or where one of the models is random by the sign-flip test."""
    flags = bool(np.isin([first, second], (0, 1)).all())
    d = paired(first > 0, second > 0, level) if flags else paired_chances(first, second, level)
    return MeanDifference(d.difference, d.low, d.high, d.p_value, d.detectable)
