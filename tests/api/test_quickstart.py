"""docs/quickstart.py and .ipynb as a newcomer runs them: every cell, in order, in one interpreter."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import bench

DOCS = Path(bench.__file__).parent.parent / "docs"


def code_cells() -> list[dict[str, Any]]:
    notebook = json.loads((DOCS / "quickstart.ipynb").read_text())
    return [
        {**cell, "source": "".join(cell["source"])}
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """What a notebook shows of the cell: the value of its last line, where that is an expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)  # noqa: S102 (as the notebook does)
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # noqa: S307 (as the notebook does)


@pytest.fixture(scope="module")
def shown() -> list[Any]:
    names: dict[str, Any] = {}
    return [run_cell(cell["source"], names) for cell in code_cells()]


def test_six_lines_show_the_leaderboard(shown: list[Any]) -> None:
    lines = [line for line in code_cells()[1]["source"].splitlines() if line.strip()]
    assert len(lines) <= 6
    result = shown[1]
    assert isinstance(result, bench.Result)
    html = result._repr_html_()
    assert "robust acc." in html
    assert "pgd" in html
    assert result.is_complete


def test_the_frames_hold_what_the_text_says(shown: list[Any]) -> None:
    board, rates, broken = shown[2], shown[3], shown[4]
    assert board["model"].tolist() == ["model"]
    assert 0.85 < board["accuracy"][0] <= 1
    assert list(rates.index) == pytest.approx([8 / 255, 16 / 255, 32 / 255])
    assert set(rates.columns) == {
        (attack, library) for attack in ("fgsm", "pgd-40") for library in ("foolbox", "art")
    }
    assert rates.iloc[0].max() < rates.iloc[2].min(), "a larger budget breaks more"
    assert broken.endswith("of 150 images")
    assert isinstance(shown[5], pd.DataFrame)
    assert shown[5][["model", "baseline"]].to_numpy().tolist()[0] == ["blurred", "plain"]


def test_what_the_notebook_shows_committed_is_what_it_shows(shown: list[Any]) -> None:
    """Its outputs are those of this code: the leaderboard's row, and the table of rates."""
    committed = ["".join(o["data"]["text/plain"]) for cell in code_cells()[2:] for o in cell["outputs"]]
    assert len(committed) == len(shown) - 2
    assert committed[0].split()[:6] == str(shown[2]).split()[:6]
    assert committed[1].split()[:4] == str(shown[3]).split()[:4]
    (leaderboard,) = code_cells()[1]["outputs"]
    assert "robust acc." in "".join(leaderboard["data"]["text/html"]), "shown once, and nothing else"
    assert "bench-evaluate" not in (DOCS / "quickstart.ipynb").read_text(), "no place of a machine"


def test_the_script_prints_it_and_leaves_nothing_behind(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    script, env = [sys.executable, str(DOCS / "quickstart.py")], {**os.environ, "TMPDIR": str(temporary)}
    done = subprocess.run(
        script, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "robust accuracy at eps 16/255 against the worst attack on each sample" in done.stdout
    assert "pictures" not in done.stderr, "the digits are grey, and shown so"
    assert not list(temporary.glob("bench-*")), "where the run was stored is gone"
