"""What `bench reproduce` says of two stored runs."""

import dataclasses
import io
import json
import platform
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from adapters.cache.folders import sha256
from bench import __version__
from bench.cli.commands import main
from bench.comparison.reproduction import compare
from bench.render.reproduction import reproduction_json, reproduction_table
from bench.store import ModelEntry, RunHeader, StoredRun, open_run
from bench.store.records import Records
from bench.suite.suite import Suite, load_suite, shipped_suites
from tests.cli.test_cli import bench
from tests.store.test_storage import KEYS, header, records

PROVENANCE = {"commit": "c", "dirty": False, "packages": {"torch": "2.0"}}


def stored(results: Path, filled: list[Records], **changes: object) -> StoredRun:
    fields: dict[str, Any] = {**header().__dict__, "provenance": PROVENANCE, "samples": 40, **changes}
    run = open_run(results, RunHeader(**fields), fresh=True)
    for key, cell in zip(KEYS, filled, strict=False):
        run.write_cell(key, cell)
    run.save("incomplete")
    return StoredRun(run.path)


def broken(count: int, n: int = 40) -> Records:
    """Records in which the attack broke the first ``count`` samples."""
    success = np.arange(n) < count
    clean = dataclasses.replace(records(0, n), label=np.zeros(n, np.int64), clean_pred=np.zeros(n, np.int64))
    prob = np.full(n, 0.5, np.float32)
    return dataclasses.replace(
        clean, clean_prob=prob, clean_prob_true=prob, adv_pred=success.astype(np.int64), adv_prob=prob,
        adv_prob_true=prob, success=success,
    )  # fmt: skip


def test_each_cell_gets_its_verdict(tmp_path: Path) -> None:
    cell = broken(20)
    nudge = np.where(cell.success, -0.25, 0.25).astype(np.float32)
    nudged = dataclasses.replace(
        cell, adv_prob=cell.adv_prob + abs(nudge), adv_prob_true=cell.adv_prob_true + nudge
    )
    old = stored(tmp_path / "old", [cell] * 4)
    new = stored(tmp_path / "new", [cell, nudged, broken(22), broken(0)])
    found = compare(old, new)
    assert [o.verdict for o in found.outcomes] == [
        "bitwise equal",
        "equal within noise",
        "equal within noise",
        "different",
    ]
    assert [(o.gained, o.lost) for o in found.outcomes] == [(0, 0), (0, 0), (2, 0), (0, 20)]
    assert found.outcomes[1].drift == pytest.approx(0.25)
    assert found.outcomes[3].p_value == pytest.approx(4 * 2 * 0.5**20)
    assert found.exit_code == 3
    assert found.changes == ()


def test_missing_cells_and_other_samples_cannot_be_compared(tmp_path: Path) -> None:
    old = stored(tmp_path / "old", [broken(1)] * 4)
    other = dataclasses.replace(broken(1), id=np.array([f"other/{i}" for i in range(40)]))
    found = compare(old, stored(tmp_path / "new", [other] * 3))
    assert [o.verdict for o in found.outcomes] == ["not comparable"] * 4
    assert [o.reason for o in found.outcomes[:3]] == ["the samples differ"] * 3
    assert found.exit_code == 4


def test_what_changed_around_the_cells_is_named(tmp_path: Path) -> None:
    old = stored(tmp_path / "old", [broken(1)] * 4)
    new = stored(
        tmp_path / "new", [broken(1)] * 4, data_hash="e", models=(ModelEntry("m", 0, "full", 1, 1, "other"),),
        provenance={**PROVENANCE, "commit": "d", "packages": {"torch": "2.1"}},
    )  # fmt: skip
    found = compare(old, new)
    assert found.changes == (
        "commit: c then, d now",
        "torch: 2.0 then, 2.1 now",
        "data: d then, e now",
        "weights of m (seed 0) differ",
    )
    assert found.exit_code == 0


def test_names_are_shown_as_they_are(tmp_path: Path) -> None:
    evil = tuple(dataclasses.replace(cell, model="[red]<b>x[/red]") for cell in header().cells)
    found = compare(stored(tmp_path / "a", [], cells=evil), stored(tmp_path / "b", [], cells=evil))
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(reproduction_table(found, 200))
    assert "[red]<b>x[/red]/0/fgsm/art" in console.export_text()
    assert json.loads(reproduction_json(found))["exit_code"] == 4


def test_a_folder_without_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", str(tmp_path), "--device", "cpu"]) == 2
    assert "holds no run" in capsys.readouterr().err


@pytest.mark.parametrize("path", shipped_suites(), ids=lambda path: path.stem)
def test_a_stored_suite_is_the_suite_that_was_run(path: Path) -> None:
    suite = load_suite(path)
    assert Suite.model_validate(json.loads(json.dumps(suite.model_dump(mode="json")))) == suite


SWEEP = """\
name: sweep
backbone:
  pretrain:
    data: {source: imagefolder, path: shapes, classes: [a, b], size: 8}
    training: {epochs: 1, augmentation: none}
data: {source: imagefolder, path: shapes, classes: [c, d], size: 8, samples: 8}
training: {epochs: 1, augmentation: none}
models: [{name: base}]
matrix:
  r: [1, 2]
  targets: {fc: [fc]}
  training: {optimizer: adamw}
seeds: [0, 3]
eps: [4/255]
attacks: [{attack: fgsm}]
trust: off
"""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place where a matrix over two training seeds ran on images under a data root; its suite is gone."""
    home = tmp_path_factory.mktemp("sweep")
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for level, name in enumerate("abcd"):
            folder = home / "data" / "shapes" / split / name
            folder.mkdir(parents=True)
            for i in range(4):
                pixels = rng.integers(0, 60, (8, 8, 3)) + 60 * level
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    (home / "sweep.yaml").write_text(SWEEP)
    done = bench(home, "run", "sweep.yaml", "--data-root", "data", "--format", "json")
    assert done.returncode == 0, done.stderr
    (home / "sweep.yaml").unlink()
    return home


def test_a_matrix_over_seeds_and_a_data_root_is_made_again_without_its_file(sweep: Path) -> None:
    done = bench(sweep, "reproduce", "latest", "--data-root", "data", "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert sorted(o["cell"] for o in found["outcomes"]) == sorted(
        f"{model}/{seed}/fgsm/{library} at 4/255"
        for model in ("base", "lora-fc-r1", "lora-fc-r2")
        for seed in (0, 3)
        for library in ("foolbox", "art")
    )
    assert {o["verdict"] for o in found["outcomes"]} == {"bitwise equal"}
    assert found["changes"] == []


def test_data_that_are_gone_are_named(sweep: Path) -> None:
    done = bench(sweep, "reproduce", "latest", "--data-root", "elsewhere")
    assert done.returncode == 2
    assert "elsewhere/shapes" in done.stderr
    assert "--data-root" in done.stderr


def test_provenance_says_all_that_a_run_was_made_with(sweep: Path) -> None:
    (file,) = sweep.glob("results/sweep/*/run.json")
    run = json.loads(file.read_text())
    said = run["provenance"]
    assert said["bench_version"] == __version__
    assert said["commit"] is None or re.fullmatch("[0-9a-f]{40}", said["commit"])
    assert isinstance(said["dirty"], bool)
    assert (
        said["packages"]["torch"] == torch.__version__.partition("+")[0]
        or said["packages"]["torch"] == torch.__version__
    )
    assert {
        "foolbox",
        "adversarial-robustness-toolbox",
        "peft",
        "numpy",
        "torchvision",
        "safetensors",
    } <= set(said["packages"])
    assert (said["device"], said["python"]) == ("cpu", platform.python_version())
    assert said["threads"] >= 1
    assert said["device_name"]
    assert "run sweep.yaml --data-root data --format json" in said["command"]
    assert (run["suite"]["seeds"], run["suite"]["seed"]) == ([0, 3], 0)
    assert re.fullmatch("[0-9a-f]{64}", run["data_hash"])
    for model in run["models"]:
        weights = "model.safetensors" if model["model"] == "base" else "adapter_model.safetensors"
        digests = {name: digest for name, digest in model["files"].items() if name.endswith(weights)}
        assert digests, model["files"]
        for name, digest in model["files"].items():
            assert any(sha256(f) == digest for f in (sweep / "cache").rglob(Path(name).name)), name
