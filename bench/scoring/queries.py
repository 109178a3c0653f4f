"""Attack success over queries: what a black-box attack reaches with how many questions to the model."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.scoring.chances import success_rate
from bench.scoring.statistics import Proportion
from bench.store import CellEntry
from bench.store.records import Bools, Records

Row = npt.NDArray[np.float64]


@dataclass(frozen=True)
class QueryScore:
    """One model under one black-box attack through one library, in the cell ``entry``.

    ``steps`` is the whole curve: (queries about a sample, share of the attacked samples broken by then), a
    step each; ``spent`` is the most queries that were made about a sample. ``asr`` says it with its interval
    after the queries of ``budgets``: powers of ten, up to the first that no model under this attack exceeded.
    ``median`` is over the broken samples, None if there are none. A random model, which is right only
    sometimes, is wrong without any query too: its curve begins there, at 0 queries.
    """

    entry: CellEntry
    steps: tuple[tuple[int, float], ...]
    spent: int
    median: float | None
    budgets: tuple[int, ...]
    asr: tuple[Proportion, ...]


def query_scores(cells: Iterable[tuple[CellEntry, Records]]) -> Iterator[QueryScore]:
    """The scores of ``cells`` whose queries were counted; of their records, only what is needed is kept."""
    counted = [(entry, _spending(r)) for entry, r in cells if r.queries is not None]
    for entry, spending in counted:
        most = max(
            other.most for e, other in counted if (e.attack, e.library) == (entry.attack, entry.library)
        )
        yield _score(entry, spending, _budgets(most))


@dataclass(frozen=True)
class _Spending:
    """Of each attacked sample (N): queries, how often it is right ``before`` and ``after``, if it broke."""

    queries: Row
    before: Row
    after: Row
    broken: Bools
    most: int


def _spending(records: Records) -> _Spending:
    asked = records.before > 0
    queries = np.asarray(records.queries, dtype=np.float64)
    before, after = records.before.astype(np.float64), records.after.astype(np.float64)
    most = int(queries.max(initial=0))
    return _Spending(queries[asked], before[asked], after[asked], records.success[asked], most)


def _score(entry: CellEntry, found: _Spending, budgets: tuple[int, ...]) -> QueryScore:
    needed = found.queries[found.broken]
    by_then = [np.where(found.queries <= budget, found.after, found.before) for budget in budgets]
    return QueryScore(
        entry,
        steps=tuple(_steps(found)),
        spent=found.most,
        median=float(np.median(needed)) if len(needed) else None,
        budgets=budgets,
        asr=tuple(success_rate(found.before, after) for after in by_then),
    )


def _steps(found: _Spending) -> Iterator[tuple[int, float]]:
    """The success rate after so many queries, wherever it changes."""
    right, unasked = float(found.before.sum()), float((found.before * (1 - found.before)).sum())
    if unasked:
        yield 0, unasked / right
    change = found.before * (found.before - found.after)
    at, where = np.unique(found.queries[change != 0], return_inverse=True)
    sums = unasked + np.cumsum(np.bincount(where, change[change != 0], len(at)))
    yield from ((int(q), float(share)) for q, share in zip(at, sums / right, strict=True))


def _budgets(most: int) -> tuple[int, ...]:
    """Powers of ten from 10 up to the first that is at least ``most``."""
    powers = [10]
    while powers[-1] < most:
        powers.append(10 * powers[-1])
    return tuple(powers)
