"""A run folder from a stranger: names with markup and paths come out as text, wherever they are shown."""

import dataclasses
import io
import json
from pathlib import Path

from rich.console import Console

from bench import render
from bench.scoring.scorecard import Scorecard, score
from bench.store import ModelEntry, StoredRun, open_run
from tests.test_storage import KEYS, header, records

EVIL = "<script>alert(1)</script>|[red]../../x[/red]"


def evil_card(results: Path) -> Scorecard:
    cells = tuple(dataclasses.replace(cell, model=EVIL, attack=EVIL) for cell in header().cells)
    asked = dataclasses.replace(header(), models=(ModelEntry(EVIL, 0, "full", 1, 1, "s"),), cells=cells)
    run = open_run(results, asked, fresh=True)
    for i, key in enumerate(KEYS[:3]):
        run.write_cell(key, records(i))
    run.write_error(KEYS[3], EVIL)
    run.save("incomplete")
    return score(StoredRun(run.path))


def test_on_a_terminal(tmp_path: Path) -> None:
    console = Console(width=300, record=True, file=io.StringIO())
    console.print(render.leaderboard(evil_card(tmp_path), 300))
    assert console.export_text().count("[red]../../x[/red]") >= 3


def test_in_markdown(tmp_path: Path) -> None:
    page = render.to_markdown(evil_card(tmp_path))
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\|[red]" in page


def test_for_programs(tmp_path: Path) -> None:
    card = evil_card(tmp_path)
    assert json.loads(render.to_json(card))["cells"][0]["model"] == EVIL
    assert render.to_csv(card).splitlines()[1].startswith(EVIL)


def test_nothing_is_written_beside_the_run(tmp_path: Path) -> None:
    evil_card(tmp_path / "results")
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
