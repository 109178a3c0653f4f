"""Class by class: how many samples of each an attack leaves right, and what the others are taken for."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from bench.ids import ModelId
from bench.scoring.chances import mean_chance
from bench.scoring.statistics import Proportion
from bench.store import CellEntry
from bench.store.records import Bools, Ints, Records

MOST = 20
"""Classes up to which the score is made: of more, a sample of the data has too few of each to tell."""


@dataclass(frozen=True)
class ClassScore:
    """The samples of one class: ``accuracy`` before the attack and ``robust_accuracy`` under it, over all.

    ``clean`` and ``attacked`` are the class's rows of the confusion matrices: how many samples are taken for
    each class, in label order. What a network with other outputs takes for none of the classes is in no
    column. Of a random model the shares are expectations, and the rows what it predicts most of the time.
    """

    label: int
    name: str
    accuracy: Proportion
    robust_accuracy: Proportion
    clean: tuple[int, ...]
    attacked: tuple[int, ...]


@dataclass(frozen=True)
class ClassScores:
    """One cell at the headline eps, class by class.

    ``strongest``: of its model's cells at that eps, this one leaves the fewest samples right, or is the first
    of several.
    """

    model: ModelId
    attack: str
    library: str
    norm: str
    eps: Fraction
    classes: tuple[ClassScore, ...]
    strongest: bool = False


def class_scores(cell: CellEntry, records: Records, names: Sequence[str] = ()) -> Iterator[ClassScores]:
    """The score of ``cell``, if of at most MOST classes; their ``names`` are in label order, where known."""
    seen = (records.label, records.clean_pred, records.adv_pred)
    count = len(names) or 1 + max(int(column.max(initial=0)) for column in seen)
    if count > MOST:
        return
    called = names or [str(label) for label in range(count)]
    found = tuple(_score(label, name, count, records) for label, name in enumerate(called))
    yield ClassScores(cell.id.model, cell.attack, cell.library, cell.norm, cell.eps, found)


def with_strongest(scores: Iterable[ClassScores]) -> tuple[ClassScores, ...]:
    """``scores`` with the strongest of each model marked."""
    found = list(scores)
    strongest: dict[ModelId, ClassScores] = {}
    for one in sorted(found, key=_left):
        strongest.setdefault(one.model, one)
    return tuple(replace(one, strongest=strongest[one.model] is one) for one in found)


def _left(scores: ClassScores) -> float:
    """The samples that are right under attack; of a random model, those expected to be."""
    return sum(c.robust_accuracy.value * c.robust_accuracy.n for c in scores.classes if c.robust_accuracy.n)


def _score(label: int, name: str, count: int, records: Records) -> ClassScore:
    of = records.label == label
    before = records.clean_pred == label if records.clean_right is None else records.clean_right
    after = records.adv_pred == label if records.adv_right is None else records.adv_right
    return ClassScore(
        label, name,
        accuracy=mean_chance(before[of].astype(np.float32)),
        robust_accuracy=mean_chance(after[of].astype(np.float32)),
        clean=_row(records.clean_pred, of, count),
        attacked=_row(records.adv_pred, of, count),
    )  # fmt: skip


def _row(pred: Ints, of: Bools, count: int) -> tuple[int, ...]:
    taken = pred[of & (pred < count)]
    return tuple(np.bincount(taken, minlength=count).tolist())
