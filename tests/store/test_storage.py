"""Broken storage: what is damaged is found, named and computed anew; what is sound stays."""

import dataclasses
import json
import logging
import re
import resource
import shutil
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from bench import store
from bench.errors import NotComparableError, StorageError, UserError
from bench.store import (
    ModelEntry,
    OpenRun,
    RunHeader,
    StoredRun,
    list_runs,
    new_run_id,
    open_run,
    read_header,
)
from bench.store.atomic import TEMPORARY
from bench.store.cellfile import decode, encode, join, split
from bench.store.checksum import BrokenFileError, from_json
from bench.store.evidence import Evidence
from bench.store.records import COLUMNS, Floats, Records
from tests.builders.figures import Figure
from tests.builders.runs import cell_entry

KEYS = [f"{i:032x}" for i in range(4)]
TRUST = "e" * 32
EVIDENCE = [Evidence("noise-linf", "m", 0, None, None, 0.25, 16, "4 of 16", ("sample/1",), Fraction(8, 255))]


def records(seed: int, n: int = 12) -> Records:
    """Outcomes that ``seed`` draws, of samples that one model predicts the same unattacked."""
    rng, model = np.random.default_rng(seed), np.random.default_rng(0)
    label, said, prob = (
        model.integers(0, 3, n),
        model.integers(0, 3, n),
        model.uniform(0.5, 1, n).astype(np.float32),
    )
    broken = (rng.random(n) < 0.5) & (label == said)
    after, adv = (
        np.where(broken, (said + 1) % 3, said),
        np.where(label == said, rng.uniform(0.5, 1, n), prob).astype(np.float32),
    )

    def true(p: Floats, pred: npt.NDArray[np.int64]) -> Floats:
        return np.where(pred == label, p, 1 - p).astype(np.float32)

    def moved() -> Floats:
        return np.where(label == said, rng.random(n), 0).astype(np.float32)

    ids = np.array([f"sample/{i}" for i in range(n)])
    adv_true = np.where(label == said, true(adv, after), true(prob, said))
    return Records(
        ids,
        label,
        said,
        prob,
        true(prob, said),
        after,
        adv,
        adv_true,
        broken,
        moved(),
        moved(),
        moved(),
        moved(),
    )


def header(fingerprint: str = "f" * 32, keys: list[str] = KEYS) -> RunHeader:
    cells = tuple(
        cell_entry("m", 0, "fgsm", str(i + 1), "linf", "art", "exact", key) for i, key in enumerate(keys)
    )
    return RunHeader(
        store.SCHEMA_VERSION, new_run_id(fingerprint), fingerprint, "running", "tiny", Fraction(1), {}, "d",
        12, {"commit": None, "dirty": False},
        (ModelEntry("m", 0, "full", 1, 1, "s"),), cells,
    )  # fmt: skip


def finished_run(results: Path) -> OpenRun:
    run = open_run(results, header(), fresh=False)
    for i, key in enumerate(KEYS):
        run.write_cell(key, records(i), seconds=1.0, forwards=2, backwards=3)
    run.write_evidence(TRUST, EVIDENCE, seconds=1.5)
    run.save("incomplete")
    return run


def cell_file(run: OpenRun, i: int) -> Path:
    return run.path / "cells" / f"{KEYS[i]}.parquet"


def test_a_changed_bit_anywhere_is_found(figure: Figure) -> None:
    data = encode(records(0), {"key": "k"})
    assert data == encode(records(0), {"key": "k"})
    found, facts = decode(data)
    assert facts["key"] == "k"
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(found, name), getattr(records(0), name), strict=True)
    tried = undetected = 0
    for position in range(len(data)):
        for damaged in (
            data[:position],
            data[:position] + bytes([data[position] ^ (1 << position % 8)]) + data[position + 1 :],
        ):
            tried += 1
            try:
                decode(damaged)
                undetected += 1
            except BrokenFileError:
                pass
    figure(f"2 broken cell files: {tried} truncations and bit flips injected, {tried - undetected} detected")
    assert undetected == 0


def every_damage(data: bytes) -> Iterator[bytes]:
    """Every truncation, and every flip of one bit."""
    for position in range(len(data)):
        yield data[:position]
        for bit in range(8):
            yield data[:position] + bytes([data[position] ^ (1 << bit)]) + data[position + 1 :]


def test_a_changed_bit_anywhere_in_run_json_or_evidence_is_found(tmp_path: Path, figure: Figure) -> None:
    run = open_run(tmp_path, header(keys=KEYS[:1]), fresh=False)
    run.write_evidence(TRUST, EVIDENCE, seconds=1.5)
    stored = StoredRun(run.path)
    assert (stored.evidence(), stored.checking_seconds()) == (EVIDENCE, 1.5)
    reads: dict[Path, Callable[[], object]] = {
        run.path / "run.json": lambda: StoredRun(run.path),
        run.path / "trust" / f"{TRUST}.json": stored.evidence,
    }
    for file, read in reads.items():
        whole, tried, named = file.read_bytes(), 0, 0
        for damaged in every_damage(whole):
            file.unlink()  # writing over it would wait for the disk, each time
            file.write_bytes(damaged)
            tried += 1
            try:
                read()
            except NotComparableError as error:
                named += str(file) in str(error) and "run the suite again" in str(error)
        file.write_bytes(whole)
        what = "run.json" if file.name == "run.json" else "evidence"
        figure(f"2 broken {what}: {tried} truncations and bit flips injected, {named} named with their fix")
        assert named == tried > 3000


def test_samples_may_be_named_by_zeros() -> None:
    """As many as the checksum's place has, so that it must not be taken for them."""
    found = dataclasses.replace(records(0), id=np.array([f"{i:0100d}" for i in range(len(records(0)))]))
    back, facts = decode(encode(found, {"key": "k"}))
    assert (back.id.tolist(), facts["key"]) == (found.id.tolist(), "k")


def test_parts_join_and_split() -> None:
    parts = [records(0), records(1)]
    for back, part in zip(split(join(parts), 2), parts, strict=True):
        for name in COLUMNS:
            np.testing.assert_array_equal(getattr(back, name), getattr(part, name))


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 16
    file.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:-100]),
    "empty": lambda file: file.write_bytes(b""),
    "flipped": flip,
    "deleted": Path.unlink,
    "swapped": lambda file: file.write_bytes(file.with_stem(KEYS[0]).read_bytes()),
    "another version": lambda file: file.write_bytes(
        encode(records(1), {"key": KEYS[1]}).replace(b"PAR1", b"PAR2")
    ),
    "without checksum": (
        lambda file: __import__("pyarrow.parquet").parquet.write_table(
            __import__("pyarrow").table({name: getattr(records(9), name) for name in COLUMNS}), file
        )
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_cell_is_named_and_only_it_is_computed_again(
    damage: Callable[[Path], object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = finished_run(tmp_path)
    assert StoredRun(run.path).header.status == "complete"
    damage(cell_file(run, 1))

    seen = StoredRun(run.path).header.cells
    assert [cell.status for cell in seen] == ["ok", "error", "ok", "ok"]
    assert KEYS[1] in (seen[1].error or "")
    with pytest.raises(UserError, match="run the suite again"):
        StoredRun(run.path).records(KEYS[1])

    with caplog.at_level(logging.WARNING):
        again = open_run(tmp_path, header(), fresh=False)
    assert again.path == run.path
    assert again.missing(KEYS) == [KEYS[1]]
    if damage is not DAMAGE["deleted"]:
        assert KEYS[1] in caplog.text


def test_a_sound_copy_in_another_run_replaces_a_damaged_cell(tmp_path: Path) -> None:
    finished_run(tmp_path)
    other = open_run(tmp_path, header("e" * 32), fresh=False)
    assert other.missing(KEYS) == []
    flip(cell_file(other, 2))
    assert open_run(tmp_path, header("e" * 32), fresh=False).missing(KEYS) == []
    np.testing.assert_array_equal(StoredRun(other.path).records(KEYS[2]).label, records(2).label)


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"schema_version": 1}', '{"schema_version": 99}'])
def test_a_lost_run_json_loses_no_cell(text: str | None, tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    file = run.path / "run.json"
    file.unlink() if text is None else file.write_text(text)
    again = open_run(tmp_path, header(), fresh=False)
    assert again.missing(KEYS) == []
    assert StoredRun(again.path).header.status == "complete"


def test_a_flipped_bit_in_run_json_is_named_and_loses_no_cell(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = finished_run(tmp_path)
    file = run.path / "run.json"
    file.write_bytes(file.read_bytes().replace(b'"fgsm"', b'"fgsl"', 1))
    with pytest.raises(
        NotComparableError, match=r"run\.json: damaged: its checksum does not match; run the suite again"
    ):
        StoredRun(run.path)
    again = open_run(tmp_path, header(), fresh=False)
    assert again.missing(KEYS) == []
    assert again.has_evidence(TRUST, fresh=False)
    assert f"{file}: damaged" in caplog.text
    shutil.rmtree(run.path)
    (path,) = list_runs(tmp_path)
    stored = StoredRun(path)
    assert (stored.header.status, stored.evidence()) == ("complete", EVIDENCE)


def test_a_run_of_before_checksums_is_read_and_a_new_one_without_is_not(tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    fields, _ = from_json((run.path / "run.json").read_bytes())
    (run.path / "run.json").write_text(json.dumps({**fields, "schema_version": 1}))
    assert StoredRun(run.path).header.status == "complete"
    (run.path / "run.json").write_text(json.dumps(fields))
    with pytest.raises(NotComparableError, match=r"run\.json: damaged: it has no checksum"):
        StoredRun(run.path)


@pytest.mark.parametrize("with_seconds", [True, False])
def test_evidence_of_before_checksums_is_read_but_not_taken_for_sound(
    with_seconds: bool, tmp_path: Path
) -> None:
    run = finished_run(tmp_path)
    found = [dataclasses.asdict(e) for e in EVIDENCE]
    file = run.path / "trust" / f"{TRUST}.json"
    file.write_text(json.dumps({"seconds": 2.0, "evidence": found} if with_seconds else found, default=str))
    stored = StoredRun(run.path)
    assert (stored.evidence(), stored.checking_seconds()) == (EVIDENCE, 2.0 if with_seconds else 0.0)
    assert not run.has_evidence(TRUST, fresh=False)


def test_damaged_evidence_is_named_and_taken_from_a_sound_copy_or_measured_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = finished_run(tmp_path)
    other = open_run(tmp_path, header("d" * 32), fresh=False)
    assert other.has_evidence(TRUST, fresh=False)
    file, copy = (r.path / "trust" / f"{TRUST}.json" for r in (run, other))
    flip(file)
    assert not run.has_evidence(TRUST, fresh=True)
    assert f"{file}: truncated or damaged: it is not JSON; measured again" in caplog.text
    assert run.has_evidence(TRUST, fresh=False)
    assert StoredRun(run.path).evidence() == EVIDENCE
    for broken in (file, copy):
        flip(broken)
    assert not run.has_evidence(TRUST, fresh=False)


def test_evidence_under_another_name_is_refused(tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    file = run.path / "trust" / f"{TRUST}.json"
    file.rename(file.with_stem("0" * 32))
    with pytest.raises(NotComparableError, match=f"{'0' * 32}.json: holds the evidence {TRUST}; delete it"):
        StoredRun(run.path).evidence()


def test_a_newer_run_is_refused_by_name(tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    (run.path / "run.json").write_text('{"schema_version": 99}')
    with pytest.raises(UserError, match=r"run\.json: written by a newer version"):
        StoredRun(run.path)


def test_two_processes_merge_what_they_finish(tmp_path: Path) -> None:
    a = open_run(tmp_path, header(), fresh=False)
    b = open_run(tmp_path, header(), fresh=False)
    assert a.path == b.path
    a.write_cell(KEYS[0], records(0), seconds=1.0)
    b.write_cell(KEYS[1], records(1), seconds=2.0)
    b.write_error(KEYS[2], "it broke")
    a.save("running")
    b.save("incomplete")
    a.save("incomplete")
    cells = StoredRun(a.path).header.cells
    assert [c.status for c in cells] == ["ok", "ok", "error", "missing"]
    assert [c.seconds for c in cells] == [1.0, 2.0, None, None]
    assert cells[2].error == "it broke"
    a.write_cell(KEYS[2], records(2))
    a.save("incomplete")
    b.save("incomplete")
    assert StoredRun(a.path).header.cells[2].status == "ok", "a finished cell stays finished"


def test_a_unit_has_one_owner(tmp_path: Path) -> None:
    a, b = (open_run(tmp_path, header(), fresh=False) for _ in range(2))
    with a.claim(KEYS[0]) as ours, b.claim(KEYS[0]) as theirs, b.claim(KEYS[1]) as other:
        assert (ours, theirs, other) == (True, False, True)
    with b.claim(KEYS[0]) as ours:
        assert ours


def test_models_of_one_content_share_cells_and_keep_their_entries(tmp_path: Path) -> None:
    twins = dataclasses.replace(
        header(), cells=tuple(dataclasses.replace(c, model=m) for m in "ab" for c in header().cells)
    )
    run = open_run(tmp_path, twins, fresh=False)
    run.write_cell(KEYS[0], records(0))
    run.save("incomplete")
    assert [(c.model, c.status) for c in StoredRun(run.path).header.cells if c.key == KEYS[0]] == [
        ("a", "ok"),
        ("b", "ok"),
    ]


def test_disk_full_is_told_and_loses_nothing(tmp_path: Path) -> None:
    run = open_run(tmp_path, header(), fresh=False)
    run.write_cell(KEYS[0], records(0))
    run.save("running")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StorageError, match=r"cannot be written: File too large; what is stored stays"):
            run.write_cell(KEYS[1], records(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.rglob(f"{TEMPORARY}*"))
    assert open_run(tmp_path, header(), fresh=False).missing(KEYS) == KEYS[1:]


def test_temporary_files_of_killed_writers_go(tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    (run.path / "cells" / f"{TEMPORARY}abc").write_bytes(b"half")
    open_run(tmp_path, header(), fresh=False)
    assert not list(tmp_path.rglob(f"{TEMPORARY}*"))


def test_results_that_cannot_be_written_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot be written: .*give another folder with --results"):
        store.check_writable(tmp_path / "file" / "results")


def test_a_damaged_part_is_named_and_computed_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = open_run(tmp_path, header(), fresh=False)
    run.write_part(KEYS[0], 0, records(0), {"seconds": "1"})
    run.write_part(KEYS[0], 1, records(1), {"seconds": "2"})
    flip(run.path / "parts" / KEYS[0] / "00001.parquet")
    first = run.read_part(KEYS[0], 0)
    assert first is not None
    assert first[1]["seconds"] == "1"
    assert run.read_part(KEYS[0], 1) is None
    assert run.read_part(KEYS[0], 2) is None
    assert re.search(
        r"00001\.parquet: (truncated or )?damaged", caplog.text
    )  # which of the two depends on pyarrow


def test_run_json_that_is_damaged_under_a_run_is_written_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = open_run(tmp_path, header(), fresh=False)
    run.write_cell(KEYS[0], records(0))
    (run.path / "run.json").write_bytes(b"{")
    run.save("running")
    assert "it was changed during the run, and is rewritten from what the run knows" in caplog.text
    assert "delete" not in caplog.text
    assert read_header(run.path / "run.json").cells[0].status == "ok"


def test_a_cell_that_is_lost_during_the_run_makes_it_incomplete(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = open_run(tmp_path, header(), fresh=False)
    for key in KEYS:
        run.write_cell(key, records(0))
    run.save("running")
    (run.path / "cells" / f"{KEYS[1]}.parquet").unlink()
    run.close()
    found = read_header(run.path / "run.json")
    assert (found.status, [cell.status for cell in found.cells].count("error")) == ("incomplete", 1)
    assert "the files of 1 finished cells were removed during the run; run again" in caplog.text
    assert open_run(tmp_path, header(), fresh=False).missing(KEYS) == [KEYS[1]]


def test_results_that_are_removed_under_a_run_are_named_in_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = open_run(tmp_path / "results", header(), fresh=False)
    run.write_cell(KEYS[0], records(0))
    shutil.rmtree(tmp_path / "results")
    for key in KEYS[1:]:
        run.write_cell(key, records(0))
    run.close()
    assert [cell.status for cell in read_header(run.path / "run.json").cells].count("error") == 1
    assert caplog.text.count("removed during the run") == 1
