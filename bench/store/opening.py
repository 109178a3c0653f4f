"""Opening a run: the one that is there goes on, with every sound cell that any run under the results has."""

import hashlib
import logging
import tempfile
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.store.atomic import TEMPORARY, write_atomically
from bench.store.cellfile import named_as
from bench.store.checksum import BrokenFileError
from bench.store.header import RUN_FILE, CellEntry, RunHeader, history_of, read_header, readable_header
from bench.store.run import OpenRun, locked
from bench.store.stored import ODD, CellsReader, cell_file, images_file, list_runs
from bench.store.strips import read_strip, share, strip_file

log = logging.getLogger(__name__)


def open_run(results: Path, header: RunHeader, *, fresh: bool, images: bool = False) -> OpenRun:
    """The run that ``header`` asks for: the newest with its fingerprint goes on, else a new one starts.

    With ``images``, a cell is finished only when its adversarial images are stored too.

    Unless ``fresh``, cells that any run under ``results`` has finished are taken over, not computed again. A
    damaged one is named, and not taken.
    """
    folder = results / header.suite_name
    with locked(folder):
        previous = None if fresh else _newest(folder, header.fingerprint)
        path = previous or folder / header.run_id
        run = OpenRun(path, replace(header, run_id=path.name), header.provenance, images=images)
        (run.path / "cells").mkdir(parents=True, exist_ok=True)
        for orphan in run.path.rglob(f"{TEMPORARY}*"):
            orphan.unlink()  # files are written under this lock: its writer was killed
        if not fresh:
            _take_over(results, run)
        run.write_header("running")
    return run


def join_run(path: Path, provenance: dict[str, Any], *, images: bool = False) -> OpenRun:
    """The run in the folder ``path``, which another process has opened; ``provenance`` is this one's."""
    return OpenRun(path, read_header(path / RUN_FILE), provenance, images=images)


def check_writable(results: Path) -> None:
    """Raise UserError unless runs can be stored under ``results``: found before hours of work, not after."""
    try:
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results):
            pass
    except OSError as error:
        raise UserError(
            f"{results}: cannot be written: {error.strerror}; give another folder with --results"
        ) from None


def new_run_id(fingerprint: str) -> str:
    """A name that sorts by time and tells runs of different questions apart."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{fingerprint[:8]}"


def _newest(folder: Path, fingerprint: str) -> Path | None:
    for path in list_runs(folder):
        if path.name.endswith(fingerprint[:8]):
            header = readable_header(path / RUN_FILE)
            if header is not None and header.fingerprint == fingerprint:
                return path
    return None


def _take_over(results: Path, run: OpenRun) -> None:
    """Adopt sound cells of ``run`` itself and of other runs.

    Costs and origins come along, and the run's own failures stay noted.
    """
    wanted, before, read = set(run.entries), dict(run.entries), CellsReader(run.header)
    for path in [run.path, *_folders_with_cells(results)]:
        stored = readable_header(path / RUN_FILE) if wanted and (path / RUN_FILE).is_file() else None
        donors = {cell.key: cell for cell in stored.cells if cell.key in wanted} if stored else {}
        run.learn(stored.origins if stored else {})
        for key in sorted(wanted & {file.stem for file in (path / "cells").glob("*.parquet")}):
            if _adopt(cell_file(path, key), cell_file(run.path, key), before[key], read):
                kept = _kept(donors[key], path, run.path) if key in donors else {"origin": ""}
                run.note(key, status="ok", error=None, **kept)
                _adopt_strips(path, run, key)
                wanted.discard(key)
        if path == run.path:
            for key in wanted & donors.keys():
                if donors[key].status == "error":
                    run.write_error(key, donors[key].error or "")
    for key in read.odd_ones():
        log.warning("%s: %s; not used", cell_file(run.path, key), ODD)
        run.note(key, **{f.name: getattr(before[key], f.name) for f in fields(CellEntry) if f.name != "key"})


def _kept(cell: CellEntry, donor: Path, run: Path) -> dict[str, Any]:
    """What comes along with the adopted ``cell``: cost, origin and, in its own run, its images if sound."""
    images = cell.adversarials if donor == run else None
    file = images_file(run, cell.key)
    if images is not None and not (
        file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == images["sha256"]
    ):
        log.warning("%s: missing or damaged; not used", file)
        images = None
    return {**history_of(cell), "adversarials": images}


def _adopt_strips(donor: Path, run: OpenRun, key: str) -> None:
    """Bring along those that ``run`` keeps of its cell ``key``, and ``donor`` has."""
    for which in run.strips.get(key, ()) if donor != run.path else ():
        file = strip_file(donor, key, which)
        try:
            data = file.read_bytes()
            if len(data) <= share(run.strips) and read_strip(file):
                write_atomically(strip_file(run.path, key, which), data)
        except FileNotFoundError:
            continue
        except (OSError, BrokenFileError) as error:
            log.warning("%s: %s; not used", file, error)


def _folders_with_cells(results: Path) -> list[Path]:
    """Newest first; found by their cells, so that a lost run.json loses no cell."""
    return sorted(
        (cells.parent for cells in results.glob("*/*/cells")), key=lambda path: path.name, reverse=True
    )


def _adopt(source: Path, target: Path, cell: CellEntry, read: CellsReader) -> bool:
    """Whether ``source`` is sound, and holds ``cell``; if so it stands at ``target`` too."""
    try:
        read(source, cell)
    except BrokenFileError as error:
        log.warning("%s: %s; not used", source, error)
        return False
    if source != target:
        write_atomically(target, named_as(source.read_bytes(), cell.id, cell.key))
    return True
