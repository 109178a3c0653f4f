"""Runs on disk, for reading. What is damaged is found, and named."""

from dataclasses import replace
from pathlib import Path

from bench.cellfile import Facts, OutcomesReader, decode, verify
from bench.errors import NotComparableError, UserError
from bench.evidence import Evidence
from bench.records import CellOutcomes, Records
from bench.seal import BrokenFileError
from bench.store.header import CELLS, RUN_FILE, CellEntry, read_header
from bench.store.trustfile import Measured, read_measured

IMAGES = ".safetensors"


class StoredRun:
    """A run's folder, for reading. A cell whose file is missing or damaged has status "error" here, with the reason.

    Opening it reads and verifies every cell once, and keeps the outcomes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader = OutcomesReader()
        self._outcomes: dict[str, CellOutcomes] = {}
        header = read_header(path / RUN_FILE)
        self.header = replace(header, cells=tuple(self._as_stored(cell) for cell in header.cells))

    def outcomes(self, key: str) -> CellOutcomes:
        """What came out of the cell ``key``, whose status is "ok"."""
        return self._outcomes[key]

    def records(self, key: str) -> Records:
        """The per-sample records of the cell ``key``. Raises UserError if they are missing or broken."""
        return read_records(cell_file(self.path, key))

    def _as_stored(self, cell: CellEntry) -> CellEntry:
        if cell.status != "ok":
            return cell
        file = cell_file(self.path, cell.key)
        try:
            found, facts = self._reader.read(_bytes_of(file))
            _check_key(facts, cell.key)
        except BrokenFileError as error:
            return replace(cell, status="error", error=f"{file}: {error}; run the suite again to compute it anew")
        wrong = [name for name in ("eps", "norm", "library") if facts.get(name) != getattr(cell, name)]
        if wrong:
            return replace(cell, status="error", error=f"{file}: is of another {wrong[0]} than {RUN_FILE} says")
        self._outcomes[cell.key] = found
        return cell

    def evidence(self) -> list[Evidence]:
        """What was measured to see whether the cells can be trusted; empty where nothing was."""
        return [item for measured in self._measured() for item in measured.evidence]

    def checking_seconds(self) -> float:
        """How long these measurements took, over all models."""
        return sum(measured.seconds for measured in self._measured())

    def _measured(self) -> list[Measured]:
        """What each file says. Raises NotComparableError if one is damaged: a grade without it could be too good."""
        found = []
        for file in sorted((self.path / "trust").glob("*.json")):
            try:
                found.append(read_measured(file))
            except BrokenFileError as error:
                raise NotComparableError(f"{file}: {error}; delete it and run the suite again to measure it anew") from None
        return found


def list_runs(folder: Path) -> list[Path]:
    """Every run under ``folder`` (a results folder, a suite's, or a run itself), newest first; some may have lost run.json."""
    if any((folder / name).exists() for name in (RUN_FILE, CELLS)):
        return [folder]
    found = {path.parent for depth in ("*", "*/*") for name in (RUN_FILE, CELLS) for path in folder.glob(f"{depth}/{name}")}
    return sorted(found, key=lambda path: path.name, reverse=True)


def some_runs(folder: Path) -> list[Path]:
    """As ``list_runs``. Raises UserError if there is none."""
    runs = list_runs(folder)
    if not runs:
        raise UserError(f"{folder}: holds no run; `bench run SUITE.yaml` makes one")
    return runs


def read_records(file: Path) -> Records:
    """The records in a cell's parquet file. Raises UserError if it is missing or broken."""
    try:
        records, facts = decode(_bytes_of(file))
        _check_key(facts, file.stem)
    except BrokenFileError as error:
        raise UserError(f"{file}: {error}; run the suite again to compute it anew") from None
    return records


def verified(file: Path, key: str) -> Facts:
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


def cell_file(run: Path, key: str) -> Path:
    """Where the records of the cell ``key`` are."""
    return run / CELLS / f"{key}.parquet"


def images_file(run: Path, key: str) -> Path:
    """Where the adversarial images of the cell ``key`` are, if they were asked for."""
    return run / "adversarials" / f"{key}{IMAGES}"
