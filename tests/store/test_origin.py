"""A cell's origin goes with it: no run passes its gate, or becomes the reference, by other code's numbers."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.attacks.spec import Pgd
from bench.cli.commands import main
from bench.store import OpenRun, RunHeader, StoredRun, join_run, open_run
from bench.store.checksum import from_json
from tests.builders.scene import PROVENANCE, Scene, store_scene, store_with_reference
from tests.store.test_storage import KEYS, cell_file, header, records

CHANGED = {**PROVENANCE, "commit": "b" * 40, "code": "d" * 64, "started": "2026-01-02T00:00:00+00:00"}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder with one run and the reference made of it."""
    return store_with_reference(tmp_path)


def gate(results: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = main(["compare", "reference", "latest", "--gate", "--results", str(results), "--format", "json"])
    return code, json.loads(capsys.readouterr().out)


def test_broken_code_does_not_pass_by_cells_that_it_did_not_compute(
    results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pgd, "step_at", lambda _, eps: eps * 0.02)
    path = store_scene(results, Scene(provenance=CHANGED), fresh=False)
    code, verdict = gate(results, capsys)
    assert (code, verdict["verdict"], verdict["rows"]) == (4, "incomplete", [])
    reason = "was computed by code other than the run's (commit aaaaaaaaaaaa): run with --fresh"
    assert [problem["reason"] for problem in verdict["not_comparable"]] == [reason] * 24
    store_scene(results, Scene(provenance=CHANGED), fresh=True)
    assert gate(results, capsys)[0] == 3
    assert path.is_dir()


def test_other_packages_do_not_pass_either(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packages = {**PROVENANCE["packages"], "torch": "2.7.0"}
    store_scene(results, Scene(provenance={**PROVENANCE, "packages": packages}), fresh=False)
    code, verdict = gate(results, capsys)
    assert code == 4
    assert "by packages other than the run's" in verdict["not_comparable"][0]["reason"]


def test_the_same_code_may_take_its_own_cells_over(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_scene(
        results, Scene(provenance={**PROVENANCE, "started": "2026-01-02T00:00:00+00:00"}), fresh=False
    )
    assert gate(results, capsys)[0] == 0
    assert main(["compare", "reference", "latest", "--gate", "--results", str(results)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "26 rows taken over from the run that they are compared with: nothing was recomputed gate: PASS"
        in said
    )
    assert "rows exact" not in said


def test_drift_is_that_of_the_cells_not_of_the_run(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_scene(results, Scene(provenance={**CHANGED, "processor": "Q"}), fresh=False)
    capsys.readouterr()
    assert main(["compare", "reference", "latest", "--results", str(results), "--format", "json"]) == 0
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["drifts"] == []
    assert all(row["exact"] for row in verdict["rows"])


def test_cells_of_a_lost_run_have_no_known_origin(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    next(results.glob("scene/*/run.json")).unlink()
    path = store_scene(results, fresh=False)
    assert {cell.origin for cell in StoredRun(path).header.cells} == {""}
    code, verdict = gate(results, capsys)
    assert code == 4
    assert "which code computed it is not recorded" in verdict["not_comparable"][0]["reason"]
    assert verdict["drifts"] == [
        {"kind": "environment", "text": "where and by what some cells were computed is not recorded"}
    ]  # fmt: skip
    assert main(["reference", "update", str(path), "--results", str(results)]) == 2
    assert "has 24 cells whose code is not recorded" in capsys.readouterr().err


def test_a_dirty_run_s_cells_stay_dirty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_scene(tmp_path, Scene(provenance={**CHANGED, "dirty": True}))
    path = str(store_scene(tmp_path, fresh=False))
    assert StoredRun(Path(path)).header.provenance["dirty"] is False
    assert main(["reference", "update", path, "--results", str(tmp_path)]) == 2
    assert "uncommitted changes" in capsys.readouterr().err
    assert main(["compare", str(tmp_path)]) == 0
    assert "bbbbbbbb+" in capsys.readouterr().out


def test_cells_of_two_states_of_the_code_make_no_reference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store_scene(tmp_path, failing="pgd")
    path = str(store_scene(tmp_path, Scene(provenance=CHANGED), fresh=False))
    assert main(["reference", "update", path, "--results", str(tmp_path)]) == 2
    assert "has cells of 2 states of code and packages" in capsys.readouterr().err
    assert main(["reference", "update", path, "--force", "--results", str(tmp_path)]) == 0
    assert len(json.loads((tmp_path / "reference" / "scene.json").read_text())["origins"]) == 2


def test_runs_of_before_origins_are_read(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = next(results.glob("scene/*/run.json"))
    data, _ = from_json(file.read_bytes())
    for cell in data["cells"]:
        del cell["origin"]
    del data["origins"], data["provenance"]["code"]
    file.write_text(json.dumps({**data, "schema_version": 1}))
    assert main(["compare", "reference", "latest", "--results", str(results)]) == 0
    code, verdict = gate(results, capsys)
    assert (code, len(verdict["not_comparable"])) == (4, 24)


def made_by(code: str) -> RunHeader:
    return replace(header(), provenance={"commit": code, "dirty": False, "code": code})


def codes(run: OpenRun) -> list[str]:
    """What code each cell was computed by, as run.json says it."""
    found = StoredRun(run.path).header
    return [str((found.origin(cell.origin) or {}).get("code")) for cell in found.cells]


def test_a_cell_that_was_killed_before_run_json_is_its_own_code_s(tmp_path: Path) -> None:
    open_run(tmp_path, made_by("old"), fresh=False).write_cell(KEYS[0], records(0))
    run = open_run(tmp_path, made_by("new"), fresh=False)
    for key in KEYS[1:]:
        run.write_cell(key, records(1))
    run.save("complete")
    assert codes(run) == ["old", "new", "new", "new"]


def test_processes_that_share_a_run_keep_their_origins_apart(tmp_path: Path) -> None:
    first = open_run(tmp_path, made_by("one"), fresh=False)
    second = join_run(first.path, {"commit": "two", "dirty": False, "code": "two"})
    for run, keys in ((first, KEYS[:2]), (second, KEYS[2:])):
        for key in keys:
            run.write_cell(key, records(0))
    second.save("running")
    first.save("complete")
    assert codes(first) == ["one", "one", "two", "two"]


def test_parts_of_other_code_are_computed_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old = open_run(tmp_path, made_by("old"), fresh=False)
    old.write_part(KEYS[0], 0, records(0), {})
    assert old.read_part(KEYS[0], 0) is not None
    with caplog.at_level(logging.WARNING):
        assert open_run(tmp_path, made_by("new"), fresh=False).read_part(KEYS[0], 0) is None
    assert "computed by other code or packages; recomputed" in caplog.text


def test_cell_files_hold_no_origin(tmp_path: Path) -> None:
    runs = [open_run(tmp_path / code, made_by(code), fresh=False) for code in ("old", "new")]
    for run in runs:
        run.write_cell(KEYS[0], records(0))
    assert cell_file(runs[0], 0).read_bytes() == cell_file(runs[1], 0).read_bytes()
