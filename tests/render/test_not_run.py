"""What no command has asked for yet is "not run" in every format, and never an error."""

import csv
import io
import json
from fractions import Fraction
from pathlib import Path

import pytest

from bench import render
from bench.api.remaining import remaining
from bench.cli.commands import main
from bench.engine.options import Options
from bench.render.figures import make_figures
from bench.scoring.score import score
from bench.scoring.scorecard import Scorecard
from bench.store import CellEntry, StoredRun
from tests.builders.boards import entry, open_board, records, records_of
from tests.render.test_leaderboard_formats import printed

EPS = (Fraction(12, 255), Fraction(1, 1020))
CELLS = [
    entry(model, 0, attack, eps, library)
    for model in ("base", "lora")
    for attack in ("fgsm", "pgd")
    for library in ("foolbox", "art")
    for eps in EPS
]


def board(folder: Path, done: dict[tuple[str, str, str], str]) -> tuple[Path, Scorecard]:
    """Those of CELLS that (model, attack, library) in ``done`` calls "ok" or "error"; none of the rest."""
    run = open_board(folder, CELLS)
    for cell in CELLS:
        how = done.get((cell.model, cell.attack, cell.library))
        if how == "ok":
            run.write_cell(cell.key, records_of(cell), seconds=1.0)
        elif how == "error":
            run.write_error(cell.key, "RuntimeError: planted")
    run.save("incomplete")
    return run.path, score(StoredRun(run.path))


ONE_LIBRARY = {(m, a, "foolbox"): "ok" for m in ("base", "lora") for a in ("fgsm", "pgd")}
ONE_MODEL = {("base", a, lib): "ok" for a in ("fgsm", "pgd") for lib in ("foolbox", "art")}


@pytest.mark.parametrize("done", [ONE_LIBRARY, ONE_MODEL, {}])
def test_nothing_is_called_an_error(done: dict[tuple[str, str, str], str], tmp_path: Path) -> None:
    path, card = board(tmp_path, done)
    main(["report", str(path), "-o", str(tmp_path / "r.html")])
    shown = {
        "80": printed(card, 80),
        "140": printed(card, 140),
        "md": render.to_markdown(card),
        "json": json.dumps(
            [{k: v for k, v in c.items() if k != "error"} for c in json.loads(render.to_json(card))["cells"]]
        ),
        "csv": "\n".join(render.to_csv(card).splitlines()[1:]),
        "report": (tmp_path / "r.html").read_text().partition("</style>")[2],
    }
    for name, text in shown.items():
        assert "not run" in text, name
        assert not {"error", "missing", "incomplete"} & set(text.replace("calibration error", "").split()), (
            name
        )
    make_figures(card)


def test_one_library_has_its_rates_and_no_rank(tmp_path: Path) -> None:
    _, card = board(tmp_path, ONE_LIBRARY)
    assert {c.verdict for c in card.crosschecks} == {"one library"}
    by_hand = {
        (c.entry.id.model, c.entry.attack): c.metrics.asr.value
        for c in card.cells
        if c.metrics and c.entry.eps == EPS[0]
    }
    assert {(a.model, a.attack): a.asr.value for a in card.attacks if a.eps == EPS[0]} == by_hand
    assert len(by_hand) == 4
    assert {(m.rank, m.worst_case, m.unranked) for m in card.models} == {
        (None, None, "not every attack at the headline eps has numbers")
    }
    assert "not run: 8 of 16 cells" in printed(card, 140)
    assert "numbers through one library alone are not cross-checked" in " ".join(printed(card, 140).split())


def test_one_model_is_whole(tmp_path: Path) -> None:
    _, card = board(tmp_path, ONE_MODEL)
    assert {c.verdict for c in card.crosschecks if c.model.name == "lora"} == {"not run"}
    assert "not run" not in {c.verdict for c in card.crosschecks if c.model.name == "base"}
    assert "not cross-checked" not in printed(card, 140)


def test_a_cell_that_failed_is_an_error_beside_those_that_were_not_run(tmp_path: Path) -> None:
    _, card = board(tmp_path, ONE_MODEL | {("base", "pgd", "art"): "error"})
    assert {c.verdict for c in card.crosschecks if (c.model.name, c.attack) == ("base", "pgd")} == {
        "incomplete"
    }
    rows = list(csv.DictReader(io.StringIO(render.to_csv(card))))
    assert [row["status"] for row in rows].count("error") == len(EPS)
    assert "base/0/pgd/art eps 12/255: error: RuntimeError: planted" in printed(card, 140)
    assert "base/0/pgd/art eps 1/1020: error: RuntimeError: planted" in render.to_markdown(card)
    assert {row["eps"] for row in rows} == {"12/255", "1/1020"}
    row = next(line for line in printed(card, 140).splitlines() if line.split()[:2] == ["pgd", "12/255"])
    assert row.split()[2:] == ["error", "not", "run"]


def test_several_seeds(tmp_path: Path) -> None:
    cells = [
        entry("base", seed, "fgsm", "8/255", library) for seed in (0, 1) for library in ("foolbox", "art")
    ]
    run = open_board(tmp_path, cells)
    for cell in cells[:2]:
        run.write_cell(cell.key, records(records_of(cell).success), seconds=1.0)
    run.save("incomplete")
    text = printed(score(StoredRun(run.path)), 140)
    assert "not run" in text
    assert "error" not in text


def stored(status: dict[str, str]) -> list[CellEntry]:
    from dataclasses import replace

    return [replace(c, status=status.get(c.library, "missing")) for c in CELLS]


@pytest.mark.parametrize(
    ("only", "shard", "status", "code", "left"),
    [
        (
            "*/foolbox",
            (1, 1),
            {"foolbox": "ok"},
            0,
            "what --only asks for: complete; 8 of 16 cells of the suite are left to a run",
        ),
        (
            "*/foolbox",
            (1, 1),
            {"foolbox": "error"},
            4,
            "what --only asks for: 8 cells of it failed; 8 of 16 cells",
        ),
        ("*/art", (1, 1), {"foolbox": "ok"}, 4, None),
        (
            "*",
            (1, 2),
            {"foolbox": "ok"},
            0,
            "shard 1/2: complete; 8 of 16 cells of the suite are left to the other shards",
        ),
        ("*", (2, 2), {"foolbox": "ok"}, 4, None),
        ("*", (1, 1), {"foolbox": "ok", "art": "ok"}, 0, None),
    ],
)
def test_the_exit_code_is_of_what_was_asked_for(
    only: str, shard: tuple[int, int], status: dict[str, str], code: int, left: str | None
) -> None:
    found = remaining(stored(status), Options(Path(), only=only, shard=shard))
    assert found.exit_code == code
    assert [line[: len(left or "")] for line in found.lines] == ([left] if left else [])
