"""What one attack leaves, and the better of two: by hand, row by row, and no array is written to."""

import numpy as np
import pytest

from adapters.classifier import Predictions
from bench.engine.crafted import Crafted, untouched
from bench.store.records import NORMS, Floats

LABELS = np.array([0, 0, 0, 0])


def floats(*values: float) -> Floats:
    return np.array(values, dtype=np.float32)


def crafted(pred: list[int], prob_true: list[float], far: float, queries: list[int] | None = None) -> Crafted:
    moved = {norm: np.full(len(pred), far, dtype=np.float32) for norm in NORMS}
    spent = None if queries is None else np.array(queries)
    return Crafted(np.array(pred), floats(*([0.5] * len(pred))), floats(*prob_true), moved, spent)


def test_the_row_that_harms_more_is_kept_and_queries_add_up() -> None:
    best = crafted([0, 0, 1, 0], [0.9, 0.8, 0.1, 0.7], 1.0, [5, 5, 5, 5])
    again = crafted([1, 0, 0], [0.2, 0.9, 0.6], 2.0, [1, 2, 3])  # about samples 0, 1 and 3
    found = best.improved_by(again, np.array([0, 1, 3]), LABELS)
    assert found.pred.tolist() == [1, 0, 1, 0]
    assert found.prob_true.tolist() == floats(0.2, 0.8, 0.1, 0.6).tolist()
    assert found.distances["l2"].tolist() == [2, 1, 1, 2]
    assert found.queries is not None
    assert found.queries.tolist() == [6, 7, 5, 8]
    assert best.pred.tolist() == [0, 0, 1, 0], "the first is as it was"
    assert best.queries is not None
    assert best.queries.tolist() == [5, 5, 5, 5]


@pytest.mark.parametrize(("mine", "theirs", "left"), [([5], None, [5]), (None, [1], None)])
def test_a_column_that_only_one_has_stays_as_it_is(
    mine: list[int] | None, theirs: list[int] | None, left: list[int] | None
) -> None:
    found = crafted([0], [0.9], 1.0, mine).improved_by(
        crafted([1], [0.1], 2.0, theirs), np.array([0]), LABELS
    )
    assert (None if found.queries is None else found.queries.tolist()) == left


def test_records_repeat_the_clean_prediction_of_what_was_not_attacked() -> None:
    clean = Predictions(np.array([0, 1]), floats(0.9, 0.8), floats(0.9, 0.2))
    whole = untouched(clean, queries=False, distance=True, images=None)
    found = whole.with_rows(np.array([0]), crafted([1], [0.3], 0.5)).records(("a", "b"), LABELS[:2], clean)
    assert found.adv_pred.tolist() == [1, 1]
    assert found.success.tolist() == [True, False]
    assert found.linf.tolist() == [0.5, 0]
    assert found.queries is None
    assert found.distance is not None
    assert clean.pred.tolist() == [0, 1]
