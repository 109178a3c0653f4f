"""Runs on disk: the only writer under results/. Each file appears whole or not at all.

``results/<suite>/<run-id>/run.json`` says what was asked, where and with what; ``cells/<key>.parquet`` holds one row per
sample and its own checksum. A cell's file holds nothing that differs between two runs of the same cell: its cost stands in
run.json. ``parts/<key>/`` holds what is done of a unit that is not finished; ``trust/<key>.json`` what was measured to see
whether one model's cells can be trusted.

Several processes may work on one run: each unit is claimed by one of them, and run.json is merged, never overwritten.
"""

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters.lock import claimed, held
from bench.atomic import RESUME, TEMPORARY, write_atomically
from bench.cellfile import BrokenFileError, Facts, decode, encode, verify
from bench.errors import StorageError, UserError
from bench.evidence import Evidence
from bench.records import Records

SCHEMA_VERSION = 1
RUN_FILE = "run.json"
COSTS = ("seconds", "forwards", "backwards")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CellEntry:
    """A cell in run.json. ``status`` is "ok", "error" (with ``error`` the reason) or "missing"; costs are this cell's share.

    ``adversarials`` is there if the images were stored: the file's sha256 and what the model said of it when read again.
    ``kind`` is the attack's name in the contract, whatever the suite calls it; ``access`` and ``budget`` are the contract's.
    """

    model: str
    seed: int
    attack: str
    eps: str
    norm: str
    library: str
    pairing: str
    key: str
    status: str = "missing"
    error: str | None = None
    seconds: float | None = None
    forwards: int | None = None
    backwards: int | None = None
    adversarials: dict[str, Any] | None = None
    kind: str = ""
    access: str = ""
    budget: str = ""


@dataclass(frozen=True)
class ModelEntry:
    """A model in run.json. ``sha256`` names all that it is made of; ``files`` has the sha256 of each of its files."""

    model: str
    seed: int
    method: str
    trainable_parameters: int
    parameters: int
    sha256: str
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunHeader:
    """run.json as data. ``suite`` is the whole resolved declaration; ``headline_eps`` is where models are ranked."""

    schema_version: int
    run_id: str
    fingerprint: str
    status: str
    suite_name: str
    headline_eps: str
    suite: dict[str, Any]
    data_hash: str
    samples: int
    provenance: dict[str, Any]
    models: tuple[ModelEntry, ...]
    cells: tuple[CellEntry, ...]


class StoredRun:
    """A run's folder, for reading. A cell whose file is missing or damaged has status "error" here, with the reason."""

    def __init__(self, path: Path) -> None:
        self.path = path
        header = _read_header(path / RUN_FILE)
        self.header = replace(header, cells=tuple(self._as_stored(cell) for cell in header.cells))

    def records(self, key: str) -> Records:
        """The per-sample records of the cell ``key``. Raises UserError if they are missing or broken."""
        return read_records(_cell_file(self.path, key))

    def _as_stored(self, cell: CellEntry) -> CellEntry:
        if cell.status != "ok":
            return cell
        file = _cell_file(self.path, cell.key)
        try:
            facts = _verified(file, cell.key)
        except BrokenFileError as error:
            return replace(cell, status="error", error=f"{file}: {error}; run the suite again to compute it anew")
        wrong = [name for name in ("eps", "norm", "library") if facts.get(name) != getattr(cell, name)]
        if wrong:
            return replace(cell, status="error", error=f"{file}: is of another {wrong[0]} than {RUN_FILE} says")
        return cell

    def evidence(self) -> list[Evidence]:
        """What was measured to see whether the cells can be trusted; empty where nothing was."""
        return [item for file in sorted((self.path / "trust").glob("*.json")) for item in _read_evidence(file)]


class OpenRun:
    """A run being made, by this process and maybe by others. Its header on disk always says what is finished."""

    def __init__(self, path: Path, header: RunHeader, *, images: bool = False) -> None:
        self.path = path
        self.header = header
        self.images = images
        self._entries = {cell.key: cell for cell in header.cells}
        self._ours: set[str] = set()

    @property
    def entries(self) -> dict[str, CellEntry]:
        """The cells by key."""
        return self._entries

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Those of ``keys`` that have no records yet, or no images where these are asked for."""
        return [key for key in keys if not self._is_finished(self._entries[key])]

    def _is_finished(self, cell: CellEntry) -> bool:
        return cell.status == "ok" and not (self.images and cell.adversarials is None)

    def claim(self, key: str) -> AbstractContextManager[bool]:
        """Claim the unit whose first cell is ``key``; yields False if another process has it."""
        return claimed(self._lock_file(key))

    def wait_for(self, key: str) -> AbstractContextManager[None]:
        """Claim the unit whose first cell is ``key`` once no other process has it."""
        return held(self._lock_file(key), self._name(key))

    def write_cell(self, key: str, records: Records, **cost: float | int) -> None:
        """Store a finished cell."""
        entry = self._entries[key]
        facts = {name: str(getattr(entry, name)) for name in ("model", "seed", "attack", "eps", "norm", "library", "key")}
        self._write(_cell_file(self.path, key), encode(records, facts))
        self._update(key, status="ok", error=None, **cost)

    def write_images(self, key: str, data: bytes, checked: dict[str, int]) -> Path:
        """Store the adversarial images of a finished cell, and what the model said of them."""
        file = _images_file(self.path, key)
        self._write(file, data)
        self._update(key, adversarials={"sha256": hashlib.sha256(data).hexdigest(), **checked})
        return file

    def write_error(self, key: str, reason: str) -> None:
        """Note that a cell failed, and why."""
        self._update(key, status="error", error=reason)

    def write_part(self, key: str, index: int, records: Records, facts: Facts) -> None:
        """Store the part ``index`` of the unit with the key ``key``, until the unit is finished."""
        self._write(self._part_file(key, index), encode(records, facts), durable=False)

    def read_part(self, key: str, index: int) -> tuple[Records, Facts] | None:
        """The part ``index`` of the unit with the key ``key``; None if it is not done or is damaged."""
        file = self._part_file(key, index)
        try:
            return decode(file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, BrokenFileError) as error:
            log.warning("%s: %s; computed anew", file, error)
            return None

    def drop_parts(self, key: str) -> None:
        """Remove the parts of the unit with the key ``key``."""
        shutil.rmtree(self._part_file(key, 0).parent, ignore_errors=True)

    def refresh(self) -> None:
        """Take note of what other processes have finished."""
        with _locked(self.path.parent):
            self._merge()

    def has_evidence(self, key: str, *, fresh: bool) -> bool:
        """Whether the evidence ``key`` is stored here. Unless ``fresh``, that of another run under the same results counts."""
        target = self._evidence_file(key)
        donors = [] if fresh else sorted(self.path.parent.parent.glob(f"*/*/trust/{key}.json"))
        if donors and not target.is_file():
            self._write(target, donors[-1].read_bytes())
        return target.is_file()

    def write_evidence(self, key: str, evidence: Sequence[Evidence]) -> None:
        """Store what one model's checks measured."""
        self._write(self._evidence_file(key), (json.dumps([asdict(e) for e in evidence], indent=1) + "\n").encode())

    def _evidence_file(self, key: str) -> Path:
        return self.path / "trust" / f"{key}.json"

    def save(self, status: str) -> None:
        """Write run.json with all cells as they stand here and there; ``status`` holds unless all are finished."""
        with _locked(self.path.parent):
            self._merge()
            self._write_header(status)

    def _write_header(self, status: str) -> None:
        state = self._entries
        cells = tuple(replace(state[c.key], model=c.model, seed=c.seed, attack=c.attack) for c in self.header.cells)
        done = "complete" if all(cell.status == "ok" for cell in cells) else status
        self.header = replace(self.header, status=done, cells=cells)
        write_atomically(self.path / RUN_FILE, (json.dumps(asdict(self.header), indent=1) + "\n").encode())

    def _merge(self) -> None:
        """What this process did holds; of the rest, what run.json says. A finished cell stays finished."""
        file = self.path / RUN_FILE
        stored = (_readable_header(file) if file.is_file() else None) or self.header
        for cell in stored.cells:
            mine = self._entries.get(cell.key)
            if mine and not self._is_finished(mine) and (cell.status == "ok" or cell.key not in self._ours):
                self._entries[cell.key] = replace(
                    mine, status=cell.status, error=cell.error, adversarials=cell.adversarials, **_cost(cell)
                )

    def _write(self, file: Path, data: bytes, *, durable: bool = True) -> None:
        with _locked(self.path.parent):
            write_atomically(file, data, durable=durable)

    def _lock_file(self, key: str) -> Path:
        return self.path / ".locks" / f"{key}.lock"

    def _part_file(self, key: str, index: int) -> Path:
        return self.path / "parts" / key / f"{index:05d}.parquet"

    def _name(self, key: str) -> str:
        cell = self._entries[key]
        return f"{cell.model}/{cell.seed}/{cell.attack}/{cell.library}"

    def _update(self, key: str, **changes: Any) -> None:
        self._entries[key] = replace(self._entries[key], **changes)
        self._ours.add(key)


def open_run(results: Path, header: RunHeader, *, fresh: bool, images: bool = False) -> OpenRun:
    """The run that ``header`` asks for: the newest with its fingerprint goes on, else a new one starts.

    With ``images``, a cell is finished only when its adversarial images are stored too.

    Unless ``fresh``, cells that any run under ``results`` has finished are taken over, not computed again. A damaged one is
    named, and not taken.
    """
    folder = results / header.suite_name
    with _locked(folder):
        previous = None if fresh else _newest(folder, header.fingerprint)
        path = previous or folder / header.run_id
        run = OpenRun(path, replace(header, run_id=path.name), images=images)
        (run.path / "cells").mkdir(parents=True, exist_ok=True)
        for orphan in run.path.rglob(f"{TEMPORARY}*"):
            orphan.unlink()  # files are written under this lock: its writer was killed
        if not fresh:
            _take_over(results, run)
        run._write_header("running")
    return run


def check_writable(results: Path) -> None:
    """Raise UserError unless runs can be stored under ``results``: found out before hours of work, not after."""
    try:
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results):
            pass
    except OSError as error:
        raise UserError(f"{results}: cannot be written: {error.strerror}; give another folder with --results") from None


def new_run_id(fingerprint: str) -> str:
    """A name that sorts by time and tells runs of different questions apart."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{fingerprint[:8]}"


def list_runs(folder: Path) -> list[Path]:
    """Every run under ``folder`` (a results folder, a suite's, or a run itself), newest first."""
    if (folder / RUN_FILE).is_file():
        return [folder]
    found = {file.parent for pattern in ("*/run.json", "*/*/run.json") for file in folder.glob(pattern)}
    return sorted(found, key=lambda path: path.name, reverse=True)


def _newest(folder: Path, fingerprint: str) -> Path | None:
    for path in list_runs(folder):
        if path.name.endswith(fingerprint[:8]):
            header = _readable_header(path / RUN_FILE)
            if header is not None and header.fingerprint == fingerprint:
                return path
    return None


def _take_over(results: Path, run: OpenRun) -> None:
    """Adopt sound cells of ``run`` itself and of other runs; their costs come along, and its own failures stay noted."""
    wanted = set(run.entries)
    for path in [run.path, *_folders_with_cells(results)]:
        stored = _readable_header(path / RUN_FILE) if wanted and (path / RUN_FILE).is_file() else None
        donors = {cell.key: cell for cell in stored.cells if cell.key in wanted} if stored else {}
        for key in sorted(wanted & {file.stem for file in (path / "cells").glob("*.parquet")}):
            if _adopt(_cell_file(path, key), _cell_file(run.path, key)):
                run._update(key, status="ok", error=None, **(_kept(donors[key], path, run.path) if key in donors else {}))
                wanted.discard(key)
        if path == run.path:
            for key in wanted & donors.keys():
                if donors[key].status == "error":
                    run.write_error(key, donors[key].error or "")


def _kept(cell: CellEntry, donor: Path, run: Path) -> dict[str, Any]:
    """What comes along with the adopted ``cell``: its cost and, in its own run, its images if they are sound."""
    images = cell.adversarials if donor == run else None
    file = _images_file(run, cell.key)
    if images is not None and not (file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == images["sha256"]):
        log.warning("%s: missing or damaged; not used", file)
        images = None
    return {**_cost(cell), "adversarials": images}


def _images_file(run: Path, key: str) -> Path:
    return run / "adversarials" / f"{key}.safetensors"


def _folders_with_cells(results: Path) -> list[Path]:
    """Newest first; found by their cells, so that a lost run.json loses no cell."""
    return sorted((cells.parent for cells in results.glob("*/*/cells")), key=lambda path: path.name, reverse=True)


def _adopt(source: Path, target: Path) -> bool:
    """Whether ``source`` is sound; if so it stands at ``target`` too."""
    try:
        _verified(source, source.stem)
    except BrokenFileError as error:
        log.warning("%s: %s; not used", source, error)
        return False
    if source != target:
        write_atomically(target, source.read_bytes())
    return True


def _verified(file: Path, key: str) -> Facts:
    """The facts of the cell ``key`` in ``file``. Raises BrokenFileError if it is missing, damaged, or another cell's."""
    facts = verify(_bytes_of(file))
    _check_key(facts, key)
    return facts


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BrokenFileError(f"cannot be read: {error.strerror}") from None


def _check_key(facts: Facts, key: str) -> None:
    if facts.get("key") != key:
        raise BrokenFileError(f"holds the cell {facts.get('key')}")


def _cell_file(run: Path, key: str) -> Path:
    return run / "cells" / f"{key}.parquet"


def _cost(cell: CellEntry) -> dict[str, Any]:
    return {name: getattr(cell, name) for name in COSTS}


def _readable_header(file: Path) -> RunHeader | None:
    """The header in ``file``, or None, with a warning that names it, if it cannot be used."""
    try:
        return _read_header(file)
    except UserError as error:
        log.warning("%s", error)
        return None


def _read_header(file: Path) -> RunHeader:
    try:
        return parse_header(json.loads(file.read_text(encoding="utf-8")), str(file))
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}; give the folder of a run") from None
    except ValueError as error:
        raise UserError(f"{file}: is broken ({error}); delete this run's folder and run the suite again") from None


def parse_header(fields: dict[str, Any], file: str) -> RunHeader:
    """A header from the ``fields`` of ``file``. Raises UserError if they are broken, or of a newer version."""
    try:
        if fields["schema_version"] > SCHEMA_VERSION:
            raise UserError(
                f"{file}: written by a newer version (schema {fields['schema_version']}, this one reads up to {SCHEMA_VERSION})"
            )
        models = tuple(ModelEntry(**m) for m in fields["models"])
        cells = tuple(CellEntry(**c) for c in fields["cells"])
        return RunHeader(**{**fields, "models": models, "cells": cells})
    except (KeyError, TypeError) as error:
        raise UserError(f"{file}: is broken ({error}); delete it and run the suite again") from None


def reference_file(results: Path, suite: str) -> Path:
    """Where the reference of ``suite`` is, or would be. Raises UserError if that name leads out of the folder."""
    if Path(suite).name != suite:
        raise UserError(f"'{suite}' is no name of a suite; this run was not made by `bench run`")
    return results / "reference" / f"{suite}.json"


def write_reference(results: Path, suite: str, text: str) -> Path:
    """Store ``text`` as the reference of ``suite`` and return its file."""
    file = reference_file(results, suite)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, text.encode())
    return file


def _read_evidence(file: Path) -> list[Evidence]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return [Evidence(**{**fields, "samples": tuple(fields["samples"])}) for fields in found]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: cannot be read ({error}); delete it and run the suite again") from None


def read_records(file: Path) -> Records:
    """The records in a cell's parquet file. Raises UserError if it is missing or broken."""
    try:
        records, facts = decode(_bytes_of(file))
        _check_key(facts, file.stem)
    except BrokenFileError as error:
        raise UserError(f"{file}: {error}; run the suite again to compute it anew") from None
    return records


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Alone among the processes that write to the runs in ``folder``."""
    try:
        with held(folder / ".lock", str(folder)):
            yield
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written: {error.strerror}; {RESUME}") from None


def iterate(path: Path) -> Iterator[StoredRun]:
    """Every readable run under ``path``, newest first. Raises UserError if there is none."""
    runs = list_runs(path)
    if not runs:
        raise UserError(f"{path}: holds no run; `bench run SUITE.yaml` makes one")
    yield from (StoredRun(run) for run in runs)
