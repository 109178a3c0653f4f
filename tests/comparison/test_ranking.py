"""All runs of a suite in one ranking, in every format; linear models' robustness is known in closed form."""

import csv
import io
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.cli.commands import main
from bench.comparison.ranking import Ranking, ranked
from tests.builders.linear import WEIGHT
from tests.builders.scene import ROBUST, Scene, scene_samples, store_scene

WEAK = WEIGHT.sign() * torch.eye(12)[1]
"""Weights that look at the second coordinate only, which is often nearer to grey than eps."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs that share a model; a third on other samples; a fourth with a failed attack."""
    results = tmp_path_factory.mktemp("ranking")
    store_scene(results, Scene(models={"base": WEIGHT, "weak": WEAK}))
    store_scene(results, Scene(models={"base": WEIGHT, "robust": ROBUST}))
    store_scene(results, Scene(samples=scene_samples(60)))
    store_scene(results, Scene(models={"other": WEIGHT}), failing="pgd")
    return results


def named(folder: Path) -> list[str]:
    """The runs' ids, oldest first."""
    return sorted(path.name for path in folder.glob("scene/[!.]*"))


def found(ranking: Ranking) -> list[tuple[int | None, str, tuple[str, ...]]]:
    return [(e.place.rank, e.place.model.name, e.runs) for e in ranking.entrants]


def test_models_of_all_runs_stand_in_one_ranking(folder: Path) -> None:
    first, second, third, failed = named(folder)
    by_runs = {run: r for r in ranked(folder).rankings for e in r.entrants for run in e.runs}
    together = by_runs[second]
    assert found(together) == [
        (1, "robust", (second,)),
        (1, "base", (second, first)),
        (3, "weak", (first,)),
    ]
    counts = [e.place.worst_case.count for e in together.entrants if e.place.worst_case]
    offset = np.abs(np.rint(scene_samples().x.reshape(120, 12)[:, 1] * 255) - 128)
    assert counts == [120, 119, (offset > 16).sum()], "those whose coordinate is farther from grey than eps"
    assert (together.samples, together.headline_eps, together.attacks) == (
        120,
        Fraction(16, 255),
        ("fgsm", "pgd"),
    )
    assert by_runs[third] is not together, "other samples are another question"
    assert by_runs[third].samples == 60
    assert found(by_runs[failed]) == [(None, "other", (failed,))]


def show(folder: Path, form: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["compare", str(folder), "--format", form]) == 4, "one run is incomplete"
    return capsys.readouterr().out


def test_every_format_has_the_same_ranking(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, *_ = named(folder)
    document = json.loads(show(folder, "json", capsys))
    models = next(r["models"] for r in document["rankings"] if len(r["models"]) == 3)
    assert [(m["rank"], m["model"], m["runs"]) for m in models] == [
        (1, "robust", [second]), (1, "base", [second, first]), (3, "weak", [first])
    ]  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(show(folder, "csv", capsys))))
    assert len(rows) == sum(len(r["models"]) for r in document["rankings"]) == 6
    by_model = {row["model"]: row for row in rows if row["samples"] != "60"}
    for model in models:
        assert float(by_model[model["model"]]["worst_case"]) == model["worst_case"]["value"]
        assert by_model[model["model"]]["runs"] == " ".join(model["runs"])
    assert by_model["other"]["rank"] == by_model["other"]["worst_case"] == ""
    text = show(folder, "md", capsys)
    assert "| 1 | robust | 3 | 100.0 [97, 100] | 100.0 [97, 100]? |" in text
    assert "| 1 | base | 3 4 |" in text
    assert f"| 4 | {first} | complete | aaaaaaaa |" in text


@pytest.mark.parametrize("columns", [80, 140])
def test_the_table_fits_and_breaks_no_header(
    columns: int, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = show(folder, "table", capsys).splitlines()
    assert max(map(len, lines)) <= columns
    header = next(line for line in lines if "model" in line and "runs" in line)
    assert header.split() == [
        "#",
        "model",
        "runs",
        *["clean", "acc.", "%", "[95", "%]"],
        *["robust", "acc.", "%", "[95", "%]"],
    ]
    assert any(line.split()[:3] == ["1", "robust", "3"] for line in lines)
    assert any(line.split()[:4] == ["1", "base", "3", "4"] for line in lines)


def test_a_model_that_did_otherwise_is_another_entrant(tmp_path: Path) -> None:
    store_scene(tmp_path, Scene(models={"base": WEIGHT}))
    store_scene(tmp_path, Scene(models={"base": WEAK}))
    (ranking,) = ranked(tmp_path).rankings
    assert [(e.place.rank, e.place.model.name, len(e.runs)) for e in ranking.entrants] == [
        (1, "base", 1),
        (2, "base", 1),
    ]
