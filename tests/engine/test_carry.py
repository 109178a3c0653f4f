"""``grid: carry``: what one eps breaks is broken at every larger one, and is not attacked there again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.classifier import Classifier
from adapters.images import ImageSet
from bench.attacks.spec import Attack, carries, parameters
from bench.engine.crafted import Crafted
from bench.engine.plan import UNTRAINED, make_units
from bench.engine.runner import UnitResult, make_target, run_unit
from bench.engine.survivors import Survivors
from bench.errors import UserError
from bench.ids import ModelId
from bench.render.report import to_html
from bench.render.text import to_markdown
from bench.scoring.score import score
from bench.store import StoredRun
from bench.suite.suite import Suite, load_suite, suite_from
from tests.builders.attacking import make_unit, spec
from tests.builders.scene import store_scene

GRID = [0.005, 0.02, 0.08]


def crafted(pred: list[int], queries: int) -> Crafted:
    """Samples that are predicted as ``pred``, each after so many queries."""
    n, some = len(pred), np.full(len(pred), 0.5, dtype=np.float32)
    return Crafted(np.array(pred), some, some, {"linf": some}, np.full(n, queries))


def test_what_one_eps_breaks_is_left_out_at_the_larger_ones() -> None:
    found = Survivors([1.0, 2.0, 3.0], np.array([0, 0, 0, 0]), carry=True)
    asked = []
    for (index, same), pred in zip(
        found.to_attack(at_once=False), ([1, 0, 0, 0], [0, 2, 0], [0, 3]), strict=True
    ):
        asked.append((index.tolist(), same))
        found.add(same[0], crafted(pred, queries=len(asked)), index)
    assert asked == [([0, 1, 2, 3], [1.0]), ([1, 2, 3], [2.0]), ([1, 3], [3.0])]
    assert [found.best[eps].pred.tolist() for eps in (1.0, 2.0, 3.0)] == [
        [1, 0, 0, 0],
        [1, 0, 2, 0],
        [1, 0, 2, 3],
    ]
    queries = [found.best[eps].queries for eps in (1.0, 2.0, 3.0)]
    assert [None if q is None else q.tolist() for q in queries] == [[1, 1, 1, 1], [1, 2, 2, 2], [1, 3, 2, 3]]
    assert [(i.tolist(), same) for i, same in found.to_attack(at_once=True)] == [([1, 2, 3], [1.0, 2.0, 3.0])]


def attacked(classifier: Classifier, samples: ImageSet, **declared: Any) -> UnitResult:
    carrier = "both" if declared["attack"] == "strong" else "foolbox"
    return run_unit(
        make_unit(spec(**declared), carrier, GRID), make_target(classifier, samples, 64), keep_images=True
    )


def test_the_worst_case_over_the_grid_costs_less(linear: Classifier, samples: ImageSet) -> None:
    each, carried = (
        attacked(linear, samples, attack="pgd", steps=10, grid=grid) for grid in ("each", "carry")
    )
    assert each.images is not None
    assert carried.images is not None
    np.testing.assert_array_equal(each.images[0], carried.images[0])
    assert 0 < each.records[0].success.sum() < each.records[1].success.sum()
    broken = np.zeros(len(samples), dtype=bool)
    for own, whole, image, before in zip(
        carried.records, each.records, carried.images, [None, *carried.images], strict=False
    ):
        if before is not None:
            np.testing.assert_array_equal(image[broken], before[broken])
        np.testing.assert_array_equal(own.success, broken | whole.success)
        broken |= own.success
    attacks = sum(len(samples) - int(r.success.sum()) for r in (None, *carried.records[:-1]) if r is not None)
    wrong = int((carried.records[0].clean_pred != carried.records[0].label).sum())
    assert carried.backwards == 10 * (len(samples) - wrong + attacks - 2 * wrong)
    assert carried.backwards < each.backwards


def test_strong_carries_and_no_other_attack_does_by_itself() -> None:
    assert carries(spec(attack="strong"))
    assert not carries(spec(attack="strong", grid="each"))
    assert not carries(spec(attack="pgd"))
    assert spec(attack="pgd", steps=7, grid="carry").label == "pgd-7-carry"
    assert spec(attack="strong").label == "strong"
    assert spec(attack="strong", grid="each").label == "strong-each"
    assert "grid" not in spec(attack="pgd").model_dump()
    assert spec(attack="strong").model_dump()["grid"] == "carry"
    assert parameters(spec(attack="pgd", grid="carry")) == parameters(spec(attack="pgd"))


def test_an_attack_without_a_budget_has_nothing_to_carry() -> None:
    with pytest.raises(
        ValueError, match="deepfool has one answer for all eps, and nothing to carry; leave grid out"
    ):
        spec(attack="deepfool", grid="carry")


def suite(**declared: Any) -> Suite:
    made = load_suite(Path("suites/fgsm_pgd.yaml"))
    attack: Attack = spec(**declared)
    return made.model_copy(update={"attacks": (attack,)})


def keys(**declared: Any) -> list[str]:
    return make_units(suite(**declared), {ModelId("baseline", 0): UNTRAINED}, "data")[0].keys


def test_a_carried_cell_is_of_the_eps_below_it() -> None:
    each, carried, shorter = (
        keys(attack="pgd", eps=eps, grid=grid)
        for grid, eps in (("each", (1, 2, 3)), ("carry", (1, 2, 3)), ("carry", (2, 3)))
    )
    assert not set(each) & set(carried)
    assert not set(carried) & set(shorter)
    assert keys(attack="pgd", eps=(1, 2, 3)) == each
    assert keys(attack="pgd", eps=(1, 2, 3, 4), grid="carry")[:3] == carried, (
        "a larger eps is none of their business"
    )


def test_an_unknown_grid_is_refused() -> None:
    data = {
        **load_suite(Path("suites/fgsm_pgd.yaml")).model_dump(mode="json"),
        "attacks": [{"attack": "pgd", "grid": "al"}],
    }
    with pytest.raises(UserError, match="unknown value 'al'"):
        suite_from(data)


def test_a_random_model_is_worst_where_it_is_right_least_often() -> None:
    sometimes = replace(
        crafted([0, 0], 1), right=np.array([0.5, 0.2], np.float32), choice=np.array([0.5, 0.0], np.float32)
    )
    found = Survivors([1.0, 2.0], np.array([0, 0]), carry=True)
    found.add(1.0, sometimes, np.arange(2))
    assert [index.tolist() for index, _ in found.to_attack(at_once=False)] == [[0], [0]]


def test_tables_say_which_attacks_carry(tmp_path: Path) -> None:
    run = StoredRun(store_scene(tmp_path))
    assert score(run).carried == (), "nothing does in what was stored before there was such a thing"
    run.header.suite["attacks"] = [{"attack": "strong", "grid": "carry"}, {"attack": "pgd"}]
    card = score(run)
    assert card.carried == ("strong",)
    said = "strong: the worst case over the grid; what breaks a sample at one eps counts at every larger one"
    assert f"- {said}" in to_markdown(card)
    assert said in to_html(card, run.header, None)
