"""A run.json that takes long to write is not written for each unit: what was done since stands in a journal, and is kept."""

import hashlib
import itertools
import json
from pathlib import Path

import pytest

from bench.store import CellEntry, OpenRun, join_run, open_run, read_header
from bench.store import run as store_run
from bench.store.journal import JOURNAL, Journal
from tests.test_storage import KEYS, header, records

COST = {"seconds": 1.5, "forwards": 2, "backwards": 3}


@pytest.fixture(autouse=True)
def every_run_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_run, "SHORT", 0)
    monkeypatch.setattr(store_run.OpenRun, "_takes_long", lambda run: run._seen is not None)


def write(run: OpenRun, i: int) -> None:
    run.write_cell(KEYS[i], records(i), **COST)
    run.save("running")


def as_read(run: OpenRun) -> dict[str, CellEntry]:
    return {cell.key: cell for cell in read_header(run.path / "run.json").cells}


def raw(run: OpenRun) -> list[str]:
    """What older versions read."""
    return [cell["status"] for cell in json.loads((run.path / "run.json").read_text())["cells"]]


def test_a_unit_is_noted_and_run_json_is_written_at_the_end(tmp_path: Path) -> None:
    run = open_run(tmp_path, header(), fresh=False)
    before = (run.path / "run.json").stat().st_ino
    write(run, 0)
    run.write_error(KEYS[1], "RuntimeError: planted")
    run.save("running")
    assert (run.path / "run.json").stat().st_ino == before
    assert raw(run) == ["missing"] * 4
    found = as_read(run)
    assert [found[key].status for key in KEYS] == ["ok", "error", "missing", "missing"]
    assert (found[KEYS[0]].seconds, found[KEYS[0]].forwards, found[KEYS[0]].backwards) == (1.5, 2, 3)
    assert found[KEYS[1]].error == "RuntimeError: planted"
    run.save("incomplete")
    assert raw(run) == ["ok", "error", "missing", "missing"]
    assert not (run.path / JOURNAL).exists()


def test_a_killed_run_goes_on_with_what_the_journal_says(tmp_path: Path) -> None:
    run = open_run(tmp_path, header(), fresh=False)
    write(run, 0)
    run.write_error(KEYS[1], "planted")
    run.save("running")
    again = open_run(tmp_path, header(), fresh=False)
    assert again.path == run.path
    assert (again.entries[KEYS[0]].status, again.entries[KEYS[0]].seconds) == ("ok", 1.5)
    assert (again.entries[KEYS[1]].status, again.entries[KEYS[1]].error) == ("error", "planted")
    assert raw(again) == ["ok", "error", "missing", "missing"], "opening writes it all down"


def test_two_processes_hear_of_each_other(tmp_path: Path) -> None:
    run = open_run(tmp_path, header(), fresh=False)
    other = join_run(run.path, {"commit": "other", "dirty": False})
    other.refresh()
    write(other, 0)
    run.refresh()
    assert run.entries[KEYS[0]].status == "ok"
    assert run.header.origins[run.entries[KEYS[0]].origin]["commit"] == "other"
    run.write_error(KEYS[1], "planted")
    run.save("incomplete")
    write(other, 1)
    other.write_cell(KEYS[2], records(2), **COST)
    other.save("running")
    run.refresh()
    assert [run.entries[key].status for key in KEYS] == ["ok", "ok", "ok", "missing"]
    run.save("incomplete")
    origins = json.loads((run.path / "run.json").read_text())["origins"]
    assert {origins[c.origin]["commit"] for c in as_read(run).values() if c.status == "ok"} == {"other"}


@pytest.mark.parametrize("damage", ["torn", "flipped", "forged", "no json", "binary"])
def test_a_line_that_is_damaged_says_nothing_and_the_others_hold(damage: str, tmp_path: Path) -> None:
    run = open_run(tmp_path, header(), fresh=False)
    write(run, 0)
    file, before = run.path / JOURNAL, (run.path / JOURNAL).read_bytes()
    write(run, 1)
    line = file.read_bytes()[len(before) :]
    spoilt = {
        "torn": line[: len(line) // 2],
        "flipped": line.replace(b"forwards", b"fodwards"),
        "forged": b"\n" + b"0" * 16 + line[17:],
        "no json": b"\n0123456789abcdef [\n",
        "binary": bytes(range(256)),
    }[damage]
    file.write_bytes(before + spoilt)
    write(run, 2)
    assert [as_read(run)[key].status for key in KEYS] == ["ok", "missing", "ok", "missing"]
    again = open_run(tmp_path, header(), fresh=False)
    assert [again.entries[key].status for key in KEYS] == ["ok", "ok", "ok", "missing"], "its cell's file is there all the same"


@pytest.mark.parametrize("body", ["[]", "{}", '{"cells": {"k": {}}, "origins": {}}', '{"cells": [], "origins": {}}', "1"])
def test_a_line_of_another_kind_under_a_seal_that_fits_says_nothing(body: str, tmp_path: Path) -> None:
    line = f"{hashlib.sha256(body.encode()).hexdigest()[:16]} {body}\n"
    (tmp_path / JOURNAL).write_text(line)
    assert list(Journal(tmp_path).unread()) == []


def test_a_run_json_that_is_lost_or_damaged_meanwhile_is_written_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = open_run(tmp_path, header(), fresh=False)
    write(run, 0)
    file = run.path / "run.json"
    file.write_bytes(file.read_bytes()[:-20])
    write(run, 1)
    assert raw(run) == ["ok", "ok", "missing", "missing"]
    assert f"{file}: truncated or damaged: it is no JSON; {store_run.WRITTEN_ANEW}" in caplog.text
    file.unlink()
    write(run, 2)
    assert raw(run) == ["ok", "ok", "ok", "missing"]


def test_the_journal_is_bounded_by_run_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(store_run, "SHORT", 0)
    keys = [f"{i:032x}" for i in range(400)]
    run, written = open_run(tmp_path, header(keys=keys), fresh=False), []
    for key in keys:
        run.write_error(key, "planted")
        run.save("running")
        written.append((run.path / "run.json").stat().st_ino)
        assert Journal(run.path).size < (run.path / "run.json").stat().st_size
    rewritten = sum(a != b for a, b in itertools.pairwise(written))
    assert 1 <= rewritten < 40
    assert all(cell.status == "error" for cell in as_read(run).values())
