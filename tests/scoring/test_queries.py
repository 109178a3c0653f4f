"""Success over queries, from hand-made records to what is printed and drawn."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bench import render
from bench.render.figures import make_figures
from bench.render.report import to_html
from bench.scoring.queries import query_scores
from bench.scoring.score import score
from bench.scoring.scorecard import Scorecard
from bench.store import CellEntry, StoredRun
from bench.store.records import Records
from tests.builders.runs import cell_entry
from tests.builders.scene import store_scene

INF = 10**6


def cell(model: str, needed: list[int], spent: int) -> tuple[CellEntry, Records]:
    """A cell whose first sample is predicted wrongly; others break after ``needed`` queries, INF is never."""
    n = 1 + len(needed)
    success = np.array([False, *(q < INF for q in needed)])
    label = np.zeros(n, dtype=np.int64)
    pred = np.array([1, *[0] * len(needed)])
    floats = np.zeros(n, dtype=np.float32)
    records = Records(
        np.array([f"s/{i}" for i in range(n)]), label, pred, floats, floats, np.where(success, 1, pred),
        floats, floats,
        success, floats, floats, floats, floats, queries=np.array([0, *(min(q, spent) for q in needed)]),
    )  # fmt: skip
    entry = cell_entry(model, 0, "square", "32/255", "linf", "art", "single", f"{model}-key", access="score")
    return entry, records


CELLS = [cell("base", [1, 7, 40, INF], 300), cell("lora", [12, 12, INF, INF], 80)]


def test_asr_over_queries_is_the_share_broken_by_then() -> None:
    base, lora = query_scores(CELLS)
    assert base.steps == ((1, 0.25), (7, 0.5), (40, 0.75))
    assert lora.steps == ((12, 0.5),)
    assert (base.spent, lora.spent) == (300, 80)
    assert (base.median, lora.median) == (7, 12)
    assert base.budgets == lora.budgets == (10, 100, 1000), (
        "the first power of ten that no model exceeded is the last"
    )
    assert [p.value for p in base.asr] == [0.5, 0.75, 0.75]
    assert [(p.count, p.n) for p in lora.asr] == [(0, 4), (2, 4), (2, 4)]


def test_a_random_model_loses_as_often_as_it_is_wrong() -> None:
    """2.3 of the answers are right unasked, of which 0.41 would be wrong another time; 0.75 fall by 7
    queries, 0.25 by 12."""
    entry, records = cell("base", [7, INF, 12], 40)
    before, after = (np.array(a, dtype=np.float32) for a in ([0, 1, 0.8, 0.5], [0, 0.25, 0.8, 0]))
    (found,) = query_scores(
        [(entry, replace(records, clean_right=before, adv_right=after, adv_choice=after))]
    )
    assert [q for q, _ in found.steps] == [0, 7, 12]
    assert [share for _, share in found.steps] == pytest.approx([0.41 / 2.3, 1.16 / 2.3, 1.41 / 2.3])
    assert [p.value for p in found.asr] == pytest.approx([1.16 / 2.3, 1.41 / 2.3])
    assert (found.median, found.spent) == (9.5, 40)


def test_nothing_broken_has_no_median_and_white_box_cells_no_score() -> None:
    (held,) = query_scores([cell("base", [INF, INF], 20)])
    assert (held.steps, held.median, [p.value for p in held.asr]) == ((), None, [0.0, 0.0])
    entry, records = CELLS[0]
    assert not list(query_scores([(entry, replace(records, queries=None))]))


@pytest.fixture
def card(tmp_path: Path) -> Scorecard:
    """A scorecard with the scores of CELLS."""
    return replace(score(StoredRun(store_scene(tmp_path))), queries=tuple(query_scores(CELLS)))


@pytest.mark.parametrize("width", [80, 140])
def test_the_table_shows_each_budget_with_its_interval(card: Scorecard, width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    console.print(render.leaderboard(card, width))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "square 10 50.0 [15, 85] 0.0 [0, 49]" in lines
    assert "art, 32/255 100 75.0 [30, 95] 50.0 [15, 85]" in lines
    assert "1,000 75.0 [30, 95] 50.0 [15, 85]" in lines
    assert max(map(len, text.splitlines())) <= width


def test_json_holds_the_curve(card: Scorecard) -> None:
    first = json.loads(render.to_json(card))["queries"][0]
    assert (first["model"], first["eps"], first["spent"], first["median"]) == ("base", "32/255", 300, 7)
    assert first["curve"] == [[1, 0.25], [7, 0.5], [40, 0.75]]
    assert first["after"][0]["queries"] == 10
    assert first["after"][0]["asr"] == 0.5


def test_the_figure_holds_the_curve_and_stands_in_the_report(card: Scorecard, tmp_path: Path) -> None:
    axis = make_figures(card)["queries"].axes[0]
    line = next(one for one in axis.get_lines() if one.get_label() == "base, art")
    assert np.asarray(line.get_xdata()).tolist() == [1, 1, 7, 40, 300]
    assert np.asarray(line.get_ydata()).tolist() == [0, 25, 50, 75, 75]
    header = StoredRun(next(tmp_path.glob("scene/[!.]*"))).header
    page = to_html(card, header, None)
    assert "over the queries that a black-box attack makes" in page
    assert "mathdefault" not in page
    assert ">100</text>" in page
    plain = replace(card, queries=())
    assert "queries" not in make_figures(plain)
