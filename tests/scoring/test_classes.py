"""Class by class, and how certain with what interval: against counts made by hand."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import bench
from bench.ids import AttackEps, ModelId
from bench.render import to_json
from bench.scoring.certainty import Certainties
from bench.scoring.classes import MOST, ClassScores, class_scores, with_strongest
from bench.scoring.metrics import metrics
from bench.scoring.score import score
from bench.scoring.statistics import across_seeds, proportion
from bench.store import CellEntry, StoredRun
from bench.store.records import Records
from tests.builders.boards import entry, three_seeds
from tests.builders.scene import store_scene

LABEL = np.array([0, 0, 0, 1, 1, 2])
CLEAN = np.array([0, 0, 1, 1, 1, 7])
ATTACKED = np.array([0, 2, 1, 0, 0, 7])


def records(label: object = LABEL, clean: object = CLEAN, attacked: object = ATTACKED) -> Records:
    """Six samples of three classes; the network's output 7 is none of them."""
    right, wrong, zeros = np.asarray(clean), np.asarray(attacked), np.zeros(len(LABEL), np.float32)
    sure, unsure = np.full(len(LABEL), 0.75, np.float32), np.array([0.5, 0.5, 0.5, 1, 1, 1], np.float32)
    truth = np.asarray(label)
    success = (right == truth) & (wrong != truth)
    return Records(
        np.array([f"s{i}" for i in range(len(LABEL))]), truth, right, sure, sure, wrong, unsure, unsure,
        success, zeros, zeros, zeros, zeros,
    )  # fmt: skip


def _named(of: CellEntry | ClassScores) -> tuple[str, ...]:
    model = of.id.model if isinstance(of, CellEntry) else of.model
    return model.name, of.attack, of.library, str(of.eps)


CELL = entry("a", 0, "pgd", "8/255", "art")


def test_each_class_has_its_shares_and_its_rows_of_the_confusion_matrices() -> None:
    (found,) = class_scores(CELL, records(), ("cat", "dog", "owl"))
    assert (found.model, found.attack, found.library, found.eps) == (
        ModelId("a", 0),
        "pgd",
        "art",
        Fraction(8, 255),
    )
    cat, dog, owl = found.classes
    assert [c.name for c in found.classes] == ["cat", "dog", "owl"]
    assert (cat.accuracy, cat.robust_accuracy) == (proportion(2, 3), proportion(1, 3))
    assert (cat.clean, cat.attacked) == ((2, 1, 0), (1, 1, 1))
    assert (dog.robust_accuracy, dog.clean, dog.attacked) == (proportion(0, 2), (0, 2, 0), (2, 0, 0))
    assert (owl.accuracy, owl.clean, owl.attacked) == (
        proportion(0, 1),
        (0, 0, 0),
        (0, 0, 0),
    ), "7 is none of the classes"


def test_classes_without_names_have_numbers_and_a_class_without_samples_no_share() -> None:
    (found,) = class_scores(CELL, records())
    assert [c.name for c in found.classes] == list("01234567")
    assert found.classes[2].attacked[7] == 1
    assert found.classes[5].accuracy.n == 0
    assert np.isnan(found.classes[5].accuracy.value)


@pytest.mark.parametrize("count", [MOST, MOST + 1])
def test_many_classes_have_no_score(count: int) -> None:
    names = tuple(map(str, range(count)))
    assert len(list(class_scores(CELL, records(), names))) == (count == MOST)


def test_of_a_random_model_shares_are_expectations() -> None:
    before = np.array([1, 0.5, 0, 1, 1, 0], np.float32)
    after = (before / 2).astype(np.float32)
    (found,) = class_scores(CELL, replace(records(), clean_right=before, adv_right=after), ("a", "b", "c"))
    assert found.classes[0].accuracy.value == pytest.approx(0.5)
    assert found.classes[0].robust_accuracy.value == pytest.approx(0.25)


def test_the_strongest_cell_of_each_model_leaves_the_fewest_right() -> None:
    weak, strong = records(attacked=CLEAN), records()
    cells = [
        (entry(m, 0, a, "8/255", "art"), r)
        for m in "ab"
        for a, r in (("fgsm", weak), ("pgd", strong), ("cw", strong))
    ]
    found = with_strongest(one for cell, own in cells for one in class_scores(cell, own, ("a", "b", "c")))
    assert [(s.model.name, s.attack) for s in found if s.strongest] == [("a", "pgd"), ("b", "pgd")]


def test_a_scored_run_has_its_headline_cells_class_by_class_in_every_form(tmp_path: Path) -> None:
    path = store_scene(tmp_path)
    card = score(StoredRun(path))
    assert [(s.model.name, s.attack, s.library) for s in card.classes] == [
        (m, a, library) for m in ("base", "lora") for a in ("fgsm", "pgd") for library in ("foolbox", "art")
    ]
    for found in card.classes:
        cell = next(c for c in card.cells if _named(c.entry) == _named(found))
        assert cell.metrics is not None
        assert sum(c.robust_accuracy.count for c in found.classes) == cell.metrics.robust_accuracy.count
        assert sum(sum(c.attacked) for c in found.classes) == cell.metrics.accuracy.n
    document = json.loads(to_json(card))["classes"]
    assert document[0]["classes"][1]["attacked"] == list(card.classes[0].classes[1].attacked)
    frame = bench.load(path).classes
    assert len(frame) == len(card.classes) * 2
    assert set(frame["class"]) == {"0", "1"}
    robust = [c.robust_accuracy.value for s in card.classes for c in s.classes]
    assert frame["robust_accuracy"].tolist() == pytest.approx(robust)


def test_certainty_has_its_interval_over_samples() -> None:
    found = metrics(records())
    assert (found.certainty, found.certainty_adv) == (0.75, 0.75)
    assert found.certainty_low < 0.75 < found.certainty_high
    low, high = found.certainty_adv_low, found.certainty_adv_high
    assert 0 < low < 0.75 < high <= 1
    assert high - low > found.certainty_high - found.certainty_low, (
        "half of them at 0.5, half at 1, vary more than equal ones"
    )


def test_certainty_over_seeds_is_of_the_mean_over_libraries() -> None:
    seeds, at = [ModelId("a", 0), ModelId("a", 1)], AttackEps("pgd", Fraction(8, 255))
    kept = Certainties([*seeds, ModelId("alone", 0)])
    sure = np.full(len(LABEL), 0.25, np.float32)
    for seed in seeds:
        kept.add(seed, at, {"foolbox": records(), "art": replace(records(), adv_prob=sure)})
    row = (np.array([0.5, 0.5, 0.5, 1, 1, 1]) + 0.25) / 2
    assert kept.across(seeds, at) == across_seeds(np.stack([row, row]))
    assert kept.across(seeds, None).mean == 0.75


def test_the_interval_over_seeds_holds_the_mean(tmp_path: Path) -> None:
    card = three_seeds(tmp_path)
    for s in card.seeds:
        assert s.certainty_low < s.certainty < s.certainty_high
    for r in card.seed_rates:
        assert r.certainty_adv_low < r.certainty_adv < r.certainty_adv_high
