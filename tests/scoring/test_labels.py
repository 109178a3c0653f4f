"""The check of labels names the order that a network was trained in, and spares honest ones, however weak."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bench.scoring.labels import check_labels
from bench.scoring.score import score
from bench.scoring.scorecard import Scorecard
from bench.store import DataEntry, ModelEntry, StoredRun, open_run
from bench.store.records import Ints, Records
from tests.builders.runs import cell_entry, run_header

TEXT = tuple(sorted(map(str, range(12))))
"""Twelve folders named by numbers, as tools list them: 0, 1, 10, 11, 2, ..."""
NUMBER = tuple(map(str, range(12)))
LETTERS = tuple("abcdefghijkl")
ORIGIN = {"commit": "", "dirty": False, "started": "", "packages": {}}


def predicted(rows: Sequence[int], each: int, right: int) -> tuple[Ints, Ints]:
    """Labels and predictions of ``each`` samples a class, of which ``right`` are taken for their class's row.

    The others go to the row that a class has after its own, so that none is right by accident in the order
    ``rows``.
    """
    count = len(rows)
    label, turn = np.repeat(np.arange(count), each), np.tile(np.arange(each), count)
    own = np.asarray(rows)[label]
    return label, np.where(turn < right, own, (own + 1 + turn % (count - 1)) % count)


def rows_of(data: Sequence[str], network: Sequence[str]) -> list[int]:
    """Which row of a network trained in the order ``network`` stands for each class of the ``data``."""
    return [network.index(name) for name in data]


@pytest.mark.parametrize(
    ("data", "network", "said"),
    [
        (TEXT, NUMBER, "in number order: the network was trained in that order; give classes: [0, 1, 2, 3,"),
        (NUMBER, TEXT, "in sorted order, as tools list folders: the network was trained in that order; give"),
        (("b", "no", "a", "10"), ("10", "a", "b", "no"), "give classes: [10, a, b, 'no']"),
        (
            ("item9", "item10", "item8"), ("item8", "item9", "item10"),
            "in number order: the network was trained in that order",
        ),
        (("n3", "n2", "n1"), ("n2", "n1", "n3"), "label 0 'n3' is predicted as label 2 'n1' (19 of 20)"),
        (LETTERS[:2], LETTERS[1::-1], "give classes: [b, a]"),
        (
            LETTERS, (*LETTERS[3:], *LETTERS[:3]),
            "and 9 more are moved; give classes: [d, e, f, g, h, i, j, k, l, a, b, c]",
        ),
    ],
)  # fmt: skip
def test_the_network_s_order_is_named_and_given_to_paste(
    data: Sequence[str], network: Sequence[str], said: str
) -> None:
    rows = rows_of(data, network)
    label, pred = predicted(rows, 20, 19)
    found = check_labels(label, pred, 0.96, data)
    assert found.grade == "fail"
    assert said in found.detail
    assert f" but {19 * len(data)} in " in found.detail
    assert (
        f"does not match the network's: {(label == pred).sum()} of {20 * len(data)} samples are right"
        in found.detail
    )


def test_two_of_ten_classes_swapped_are_found_and_the_rest_left_alone() -> None:
    label, pred = predicted([0, 1, 4, 3, 2, 5, 6, 7, 8, 9], 15, 14)
    found = check_labels(label, pred, 0.9, LETTERS[:10])
    assert found.grade == "fail"
    assert "label 2 'c' is predicted as label 4 'e' (14 of 15)" in found.detail
    assert "label 4 'e' is predicted as label 2 'c' (14 of 15)" in found.detail
    assert found.detail.endswith("give classes: [a, b, e, d, c, f, g, h, i, j]")


def test_two_of_twelve_classes_of_ten_samples_are_found_where_both_are_taken_for_each_other() -> None:
    """The rest is right, and so are 83 % of all samples: nothing else would say that the number is wrong."""
    label, pred = predicted([1, 0, *range(2, 12)], 10, 10)
    assert check_labels(label, pred, 0.97, LETTERS).grade == "fail"
    pred[label == 0] = 0
    assert check_labels(label, pred, 0.97, LETTERS).grade == "pass"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            [1, 2, 3, 4, 5, 3],
            "105 if every class is the next one: the network has a class before these (background",
        ),
        ([3, 0, 1, 2, 3, 4], "105 if every class is the one before: the network lacks the first of these"),
    ],
)
def test_classes_counted_from_one_more_or_less(rows: list[int], said: str) -> None:
    label, pred = np.repeat(np.arange(6), 21), np.repeat(rows, 21)
    found = check_labels(label, pred, 0.95, LETTERS[:6])
    assert (found.grade, said in found.detail) == ("fail", True)


def test_a_thousand_classes_of_one_sample_each() -> None:
    data = sorted(map(str, range(1000)))
    label = np.arange(1000)
    pred = np.array([int(name) for name in data])
    pred[::4] = 7
    found = check_labels(label, pred, 0.7, data)
    assert (found.grade, "but 750 in number order" in found.detail) == ("fail", True)
    assert "give classes: [0, 1, 2, ... all 1000 in this order]" in found.detail


def test_wordnet_s_ids_in_another_order_than_sorted() -> None:
    names = [f"n{i:08d}" for i in np.random.default_rng(0).permutation(200)]
    label, pred = predicted(rows_of(names, sorted(names)), 1, 1)
    found = check_labels(label, pred, 0.8, names)
    assert found.grade == "fail"
    assert found.detail.endswith("all 200 in this order] (wnids.txt and sorted folders differ)")
    shuffled = np.random.default_rng(1).permutation(200)
    assert check_labels(*predicted(shuffled.tolist(), 1, 1), 0.8, sorted(names)).grade == "fail", (
        "no named order: near chance"
    )


@pytest.mark.parametrize(
    ("classes", "right", "certainty", "grade"),
    [
        (12, 0, 0.97, "fail"),
        (12, 10, 0.97, "fail"),  # chance: 10 of 120
        (12, 30, 0.97, "pass"),  # poor, yet it has learnt something
        (12, 10, 0.30, "pass"),  # near chance, and it says so
        (12, 10, 0.60, "fail"),
        (2, 60, 0.97, "warn"),  # two classes are guessed right half of the time: a hopeless model
        (2, 60, 0.60, "pass"),
        (2, 20, 0.97, "fail"),
    ],
)
def test_near_chance_with_high_certainty(classes: int, right: int, certainty: float, grade: str) -> None:
    """120 samples; what is wrong goes to all the other classes evenly, but for two classes, where it is
    the other one."""
    label = np.arange(120) % classes
    wrong = 1 + np.arange(120) // classes % (classes - 1)
    pred = np.where(np.arange(120) < right, label, (label + wrong) % classes)
    found = check_labels(label, pred, certainty, LETTERS[:classes])
    assert found.grade == grade
    if grade != "pass" and classes > 2:
        assert (
            f"{right} of 120 samples are right, no more than by chance, at a mean certainty of"
            f" {certainty:.2f}" in found.detail
        )
        assert "labels, class order or head are not those of the network" in found.detail


def test_a_model_that_sees_one_class_everywhere_has_another_fault() -> None:
    label = np.arange(120) % 12
    found = check_labels(label, np.full(120, 3), 0.99, LETTERS)
    assert (found.grade, "120 are taken for label 3 'd'" in found.detail) == ("warn", True)


def test_too_few_samples_say_nothing() -> None:
    for n, grade in ((16, "unchecked"), (17, "fail")):
        label = np.arange(n) % 2
        assert check_labels(label, 1 - label, 0.99, ("a", "b")).grade == grade
    assert check_labels(np.zeros(0, np.int64), np.zeros(0, np.int64), 0.0).grade == "unchecked"


def honest(rng: np.random.Generator) -> tuple[Ints, Ints, float, list[str]]:
    """A model in which no class scores above an image's own but by its bias, from a good one to
    overwhelming bias and noise."""
    classes, n = int(rng.choice([2, 3, 5, 10, 12, 50, 200])), int(rng.choice([20, 50, 150, 500, 2000]))
    label = np.arange(n) % classes
    if rng.random() < 0.5:
        features = rng.normal(size=(classes, rng.integers(2, 16)))
        scores = features @ features.T
        np.fill_diagonal(scores, scores.max(1))
        bias = rng.normal(size=classes) * rng.choice([0, 0.5, 2, 5])
    else:  # classes in an order of their own, like grades of a disease, taken for the next
        scores = -np.abs(np.subtract.outer(np.arange(classes), np.arange(classes))) * rng.uniform(0.2, 3)
        bias = np.arange(classes) * rng.uniform(0, 3)
    logits = rng.uniform(0.1, 3) * scores[label] + bias + rng.uniform(0.2, 4) * rng.normal(size=(n, classes))
    names = TEXT if classes == 12 else tuple(sorted(map(str, range(classes))))
    return label, logits.argmax(1), float(rng.uniform(1 / classes, 1)), list(names)


def test_no_honest_model_is_told_that_its_classes_have_another_order() -> None:
    """Of 3000 models, from good ones to hopeless ones, none; of those that do better than guessing, none
    for any reason."""
    rng = np.random.default_rng(0)
    for _ in range(3000):
        label, pred, certainty, names = honest(rng)
        found = check_labels(label, pred, certainty, names)
        assert "does not match" not in found.detail
        by_chance = len(label) / len(names)
        if (label == pred).sum() > by_chance + 4 * by_chance**0.5 + 4:
            assert found.grade == "pass", found.detail


def run_of(folder: Path, label: Ints, pred: Ints, data: DataEntry | None) -> Scorecard:
    """A run of one model with these clean predictions, under one attack that breaks nothing."""
    n = len(label)
    right, prob, none = pred == label, np.full(n, 0.97, np.float32), np.zeros(n, np.float32)
    moved = np.where(right, 1 / 64, 0).astype(np.float32)
    true = np.where(right, prob, 1 - prob).astype(np.float32)
    found = Records(
        np.array([f"s{i:03d}" for i in range(n)]), label, pred, prob, true, pred, prob, true,
        np.zeros(n, bool), moved, moved, moved, none,
    )  # fmt: skip
    cells = tuple(
        cell_entry(
            "m",
            0,
            "fgsm",
            f"{k}/255",
            "linf",
            "art",
            "exact",
            f"{k}",
            kind="fgsm",
            access="white-box",
            budget="fixed",
        )
        for k in (4, 8)
    )
    models = (ModelEntry("m", 0, "none", 0, 10, "m"),)
    header = run_header(cells, models, n, data=data)
    run = open_run(folder, header, fresh=True)
    for cell in cells:
        run.write_cell(cell.key, found, seconds=1.0)
    run.save("complete")
    return score(StoredRun(run.path))


def test_a_model_whose_labels_fail_has_no_rank_and_every_cell_says_so(tmp_path: Path) -> None:
    label, pred = predicted(rows_of(TEXT, NUMBER), 20, 19)
    advice = {
        "give classes: [0, 1, 2, 3, 4,": DataEntry(240, 240, TEXT, 32),
        "give the data's classes in the": None,
    }
    for i, (said, data) in enumerate(advice.items()):
        card = run_of(tmp_path / str(i), label, pred, data)
        for cell in card.cells:
            assert cell.trust is not None
            (finding,) = (f for f in cell.trust.findings if f.check == "labels")
            assert (cell.trust.grade, finding.grade, said in finding.detail) == ("fail", "fail", True)
        assert (card.models[0].rank, card.models[0].unranked) == (
            None, "its labels, or the order of its classes, are not those of the network",
        )  # fmt: skip


def test_a_model_that_gets_nothing_right_is_told_why(tmp_path: Path) -> None:
    label = np.arange(240) % 12
    card = run_of(tmp_path, label, (label + 1 + label // 4) % 12, DataEntry(240, 240, LETTERS, 32))
    trust = card.cells[0].trust
    assert trust is not None
    assert {f.check for f in trust.findings if f.grade == "fail"} == {"labels", "samples"}


@pytest.mark.parametrize(("own", "grade"), [(30, "pass"), (24, "fail")])
def test_another_order_must_be_right_three_times_as_often(own: int, grade: str) -> None:
    """Of 100 samples a class, ``own`` are right, the others taken for the next class, all the way round."""
    label, turn = np.repeat(np.arange(5), 100), np.tile(np.arange(100), 5)
    assert check_labels(label, (label + (turn >= own)) % 5, 0.4, LETTERS[:5]).grade == grade
