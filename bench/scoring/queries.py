"""Attack success over queries: what a black-box attack reaches with how many questions to the model."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.scoring.statistics import Proportion, proportion
from bench.store import CellEntry
from bench.store.records import Records

Queries = npt.NDArray[np.float64]


@dataclass(frozen=True)
class QueryScore:
    """One model under one black-box attack through one library, in the cell ``entry``.

    ``steps`` is the whole curve: (queries about a sample, share of the attacked samples broken by then), a step each;
    ``spent`` is the most queries that were made about a sample. ``asr`` says it with its interval after the queries of
    ``budgets``: powers of ten, up to the first that no model under this attack exceeded. ``median`` is over the broken
    samples, None if there are none.
    """

    entry: CellEntry
    steps: tuple[tuple[int, float], ...]
    spent: int
    median: float | None
    budgets: tuple[int, ...]
    asr: tuple[Proportion, ...]


def query_scores(cells: Iterable[tuple[CellEntry, Records]]) -> Iterator[QueryScore]:
    """The scores of those ``cells`` whose queries were counted; of their records, only what is needed is kept."""
    counted = [(entry, _needed(r), int(r.queries.max(initial=0))) for entry, r in cells if r.queries is not None]
    for entry, need, spent in counted:
        most = max(queries for e, _, queries in counted if (e.attack, e.library) == (entry.attack, entry.library))
        yield _score(entry, need, spent, _budgets(most))


def _score(entry: CellEntry, need: Queries, spent: int, budgets: tuple[int, ...]) -> QueryScore:
    broken = need[np.isfinite(need)]
    at, count = np.unique(broken, return_counts=True)
    return QueryScore(
        entry,
        steps=tuple((int(q), float(share)) for q, share in zip(at, np.cumsum(count) / max(1, len(need)), strict=True)),
        spent=spent,
        median=float(np.median(broken)) if len(broken) else None,
        budgets=budgets,
        asr=tuple(proportion(int((need <= budget).sum()), len(need)) for budget in budgets),
    )


def _needed(records: Records) -> Queries:
    """Queries until each attacked sample broke; inf where it held."""
    queries = np.where(records.success, np.asarray(records.queries, dtype=np.float64), np.inf)
    return np.asarray(queries[records.clean_pred == records.label], dtype=np.float64)


def _budgets(most: int) -> tuple[int, ...]:
    """Powers of ten from 10 up to the first that is at least ``most``."""
    powers = [10]
    while powers[-1] < most:
        powers.append(10 * powers[-1])
    return tuple(powers)
