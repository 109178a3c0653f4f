"""What `bench reproduce` says of two stored runs."""

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bench.cli import main
from bench.records import Records
from bench.render.reproduction import reproduction_json, reproduction_table
from bench.reproduce import compare
from bench.store import ModelEntry, RunHeader, StoredRun, open_run
from tests.test_storage import KEYS, header, records

PROVENANCE = {"commit": "c", "dirty": False, "packages": {"torch": "2.0"}}


def stored(results: Path, filled: list[Records], **changes: object) -> StoredRun:
    fields = {**header().__dict__, "provenance": PROVENANCE, **changes}
    run = open_run(results, RunHeader(**fields), fresh=True)
    for key, cell in zip(KEYS, filled, strict=False):
        run.write_cell(key, cell)
    run.save("incomplete")
    return StoredRun(run.path)


def broken(count: int, n: int = 40) -> Records:
    """Records in which the attack broke the first ``count`` samples."""
    return dataclasses.replace(records(0, n), success=np.arange(n) < count)


def test_each_cell_gets_its_verdict(tmp_path: Path) -> None:
    cell = broken(20)
    nudged = dataclasses.replace(cell, adv_prob=cell.adv_prob + np.float32(0.25))
    old = stored(tmp_path / "old", [cell] * 4)
    new = stored(tmp_path / "new", [cell, nudged, broken(22), broken(0)])
    found = compare(old, new)
    assert [o.verdict for o in found.outcomes] == ["bitwise equal", "equal within noise", "equal within noise", "different"]
    assert [(o.gained, o.lost) for o in found.outcomes] == [(0, 0), (0, 0), (2, 0), (0, 20)]
    assert found.outcomes[1].drift == pytest.approx(0.25)
    assert found.outcomes[3].p_value == pytest.approx(4 * 2 * 0.5**20)
    assert found.exit_code == 3
    assert found.changes == ()


def test_missing_cells_and_other_samples_cannot_be_compared(tmp_path: Path) -> None:
    old = stored(tmp_path / "old", [broken(1)] * 4)
    other = dataclasses.replace(broken(1), id=np.array([f"other/{i}" for i in range(40)]))
    found = compare(old, stored(tmp_path / "new", [broken(1), broken(1), other]))
    assert [o.verdict for o in found.outcomes] == ["bitwise equal"] * 2 + ["not comparable"] * 2
    assert found.outcomes[2].reason == "the samples differ"
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
    console.print(reproduction_table(found))
    assert "[red]<b>x[/red]/0/fgsm/art" in console.export_text()
    assert json.loads(reproduction_json(found))["exit_code"] == 4


def test_a_folder_without_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", str(tmp_path), "--device", "cpu"]) == 2
    assert "give the folder of a run" in capsys.readouterr().err
