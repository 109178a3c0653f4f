"""Runs on disk: the only writer under results/. Each file appears whole or not at all.

``results/<suite>/<run-id>/run.json`` says what was asked, where and with what; ``cells/<key>.parquet`` holds one row per
sample. A cell's file holds nothing that differs between two runs of the same cell: its cost stands in run.json.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.errors import UserError
from bench.records import COLUMNS, OPTIONAL_COLUMNS, Records

SCHEMA_VERSION = 1
RUN_FILE = "run.json"


@dataclass(frozen=True)
class CellEntry:
    """A cell in run.json. ``status`` is "ok", "error" (with ``error`` the reason) or "missing"; costs are this cell's share."""

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


@dataclass(frozen=True)
class ModelEntry:
    """A model in run.json."""

    model: str
    seed: int
    method: str
    trainable_parameters: int
    parameters: int
    sha256: str


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
    """A run's folder, for reading."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header = _read_header(path / RUN_FILE)

    def records(self, key: str) -> Records:
        """The per-sample records of the cell ``key``. Raises UserError if they are missing or broken."""
        return read_records(self.path / "cells" / f"{key}.parquet")


class OpenRun:
    """A run being made. Its header on disk always says what is finished."""

    def __init__(self, path: Path, header: RunHeader) -> None:
        self.path = path
        self.header = header
        self._entries = {cell.key: cell for cell in header.cells}

    @property
    def entries(self) -> dict[str, CellEntry]:
        """The cells by key."""
        return self._entries

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Those of ``keys`` that have no records yet."""
        return [key for key in keys if self._entries[key].status != "ok"]

    def write_cell(self, key: str, records: Records, **cost: float | int) -> None:
        """Store a finished cell."""
        _write_atomically(self.path / "cells" / f"{key}.parquet", _to_parquet(records, self._entries[key]))
        self._update(key, status="ok", error=None, **cost)

    def write_error(self, key: str, reason: str) -> None:
        """Note that a cell failed, and why."""
        self._update(key, status="error", error=reason)

    def save(self, status: str) -> None:
        """Write run.json with all cells as they stand."""
        cells = tuple(self._entries.values())
        self.header = RunHeader(**{**self.header.__dict__, "status": status, "cells": cells})
        text = json.dumps(asdict(self.header), indent=1) + "\n"
        _write_atomically(self.path / RUN_FILE, text.encode())

    def _update(self, key: str, **changes: Any) -> None:
        self._entries[key] = CellEntry(**{**asdict(self._entries[key]), **changes})


def open_run(results: Path, header: RunHeader, *, fresh: bool) -> OpenRun:
    """The run that ``header`` asks for: the newest with its fingerprint goes on, else a new one starts.

    Unless ``fresh``, cells that any run under ``results`` has finished are taken over, not computed again.
    """
    previous = None if fresh else _newest(results / header.suite_name, header.fingerprint)
    if previous is not None:
        header = RunHeader(**{**header.__dict__, "run_id": previous.name})
    run = OpenRun(results / header.suite_name / header.run_id, header)
    (run.path / "cells").mkdir(parents=True, exist_ok=True)
    if not fresh:
        _take_over(results, run)
    run.save("running")
    return run


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
    for path in list_runs(folder) if folder.is_dir() else []:
        if path.name.endswith(fingerprint[:8]) and _read_header(path / RUN_FILE).fingerprint == fingerprint:
            return path
    return None


def _take_over(results: Path, run: OpenRun) -> None:
    """Adopt finished cells of ``run`` itself and, by hard link, of other runs; their costs come along."""
    wanted = set(run.missing(list(run.entries)))
    for path in [run.path, *list_runs(results)]:
        donor = {c.key: c for c in _read_header(path / RUN_FILE).cells} if (path / RUN_FILE).is_file() else {}
        for key in sorted(wanted):
            if _adopt(path / "cells" / f"{key}.parquet", run.path / "cells" / f"{key}.parquet"):
                cost = {k: getattr(donor[key], k) for k in ("seconds", "forwards", "backwards")} if key in donor else {}
                run._update(key, status="ok", **cost)
                wanted.discard(key)


def _adopt(source: Path, target: Path) -> bool:
    if not source.is_file():
        return False
    if not target.exists():
        _write_atomically(target, source.read_bytes())
    return True


def _read_header(file: Path) -> RunHeader:
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        if fields["schema_version"] > SCHEMA_VERSION:
            raise UserError(
                f"{file}: written by a newer version (schema {fields['schema_version']}, this one reads up to {SCHEMA_VERSION})"
            )
        models = tuple(ModelEntry(**m) for m in fields.pop("models"))
        cells = tuple(CellEntry(**c) for c in fields.pop("cells"))
        return RunHeader(**fields, models=models, cells=cells)
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}; give the folder of a run") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: is broken ({error}); delete this run's folder and run the suite again") from None


def _to_parquet(records: Records, entry: CellEntry) -> bytes:
    facts = {name: str(getattr(entry, name)) for name in ("model", "seed", "attack", "eps", "norm", "library", "key")}
    columns = {name: getattr(records, name) for name in (*COLUMNS, *OPTIONAL_COLUMNS)}
    table = pa.table({name: column for name, column in columns.items() if column is not None})
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({**facts, "schema_version": str(SCHEMA_VERSION)}), sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data


def read_records(file: Path) -> Records:
    """The records in a cell's parquet file. Raises UserError if it is missing or broken."""
    try:
        table = pq.read_table(file, partitioning=None)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{file}: cannot be read ({error}); delete it and run the suite again") from None
    if missing := set(COLUMNS) - set(table.column_names):
        raise UserError(f"{file}: lacks the columns {', '.join(sorted(missing))}; delete it and run the suite again")
    present = {name: _column(table, name) for name in OPTIONAL_COLUMNS if name in table.column_names}
    return Records(*(_column(table, name) for name in COLUMNS), **present)


def _column(table: pa.Table, name: str) -> Any:
    column = table.column(name).to_numpy()
    return column.astype(np.str_) if name == "id" else column


def _write_atomically(target: Path, data: bytes) -> None:
    """Write to a temporary name beside ``target``, sync, rename."""
    handle, temporary = tempfile.mkstemp(prefix=".new-", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def iterate(path: Path) -> Iterator[StoredRun]:
    """Every readable run under ``path``, newest first. Raises UserError if there is none."""
    runs = list_runs(path)
    if not runs:
        raise UserError(f"{path}: holds no run; `bench run SUITE.yaml` makes one")
    yield from (StoredRun(run) for run in runs)
