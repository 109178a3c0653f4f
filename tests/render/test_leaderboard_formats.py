"""Every format of a leaderboard: goldens of the whole output, and the keys that programs rely on."""

import csv
import io
import json
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from bench import render
from bench.render.output import Harmless
from bench.scoring.scorecard import Scorecard
from tests.builders import boards
from tests.builders.golden import assert_golden

SCENES = {"board": boards.one_seed, "seeds": boards.three_seeds}
TOP = {"schema_version", "suite", "run_id", "status", "models", "cells", "crosschecks", "comparisons"}
CELL = {
    "model", "seed", "attack", "eps", "norm", "library", "n", "n_correct", "accuracy", "certainty",
    "robust_accuracy", "asr",
    "asr_low", "asr_high", "certainty_adv", "seconds", "forwards", "backwards", "status", "trust",
}  # fmt: skip
CROSSCHECK = {
    "model",
    "seed",
    "attack",
    "eps",
    "first",
    "second",
    "verdict",
    "agreement",
    "asr_first",
    "asr_second",
    "p_value",
}


@pytest.fixture(params=SCENES)
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Scorecard]:
    """A scorecard and its name."""
    return request.param, SCENES[request.param](tmp_path)


def printed(card: Scorecard, width: int) -> str:
    """``card`` as on a terminal of ``width`` columns."""
    return printed_of(render.leaderboard(card, width), width)


def printed_of(shown: RenderableType, width: int) -> str:
    """``shown`` on a terminal of ``width`` columns."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(Harmless(shown))
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def test_goldens(scene: tuple[str, Scorecard]) -> None:
    name, card = scene
    for width in (80, 140):
        text = printed(card, width)
        assert max(map(len, text.splitlines())) <= width
        assert_golden(f"{name}.{width}.txt", text)
    assert_golden(f"{name}.json", render.to_json(card) + "\n")
    assert_golden(f"{name}.csv", render.to_csv(card) + "\n")
    assert_golden(f"{name}.md", render.to_markdown(card) + "\n")


def test_json_has_the_contract_s_keys(scene: tuple[str, Scorecard]) -> None:
    _, card = scene
    data = json.loads(render.to_json(card))
    assert set(data) >= TOP
    assert (data["schema_version"], data["suite"], data["status"]) == (2, "board", card.status)
    for cell in data["cells"]:
        assert set(cell) >= CELL
    for check in data["crosschecks"]:
        assert set(check) >= CROSSCHECK


def test_numbers_in_json_and_csv_are_those_of_the_cell(tmp_path: Path) -> None:
    card = boards.one_seed(tmp_path)
    cells = {
        tuple(c[k] for k in ("model", "attack", "library", "eps")): c
        for c in json.loads(render.to_json(card))["cells"]
    }
    found = cells["base", "fgsm", "foolbox", "8/255"]
    names = ("n", "n_correct", "accuracy", "robust_accuracy", "asr", "status", "trust")
    assert {k: found[k] for k in names} == {
        "n": 160, "n_correct": 156, "accuracy": 156 / 160, "robust_accuracy": 86 / 160,
        "asr": pytest.approx(70 / 156), "status": "ok", "trust": "pass",
    }  # fmt: skip
    failed = cells["lora|r=8", "pgd", "art", "16/255"]
    assert (failed["status"], failed["error"], failed["asr"], failed["trust"]) == (
        "error",
        "RuntimeError: <planted>",
        None,
        None,
    )
    rows = list(csv.DictReader(io.StringIO(render.to_csv(card))))
    assert len(rows) == len(cells)
    assert {row["status"] for row in rows} == {"ok", "error"}
