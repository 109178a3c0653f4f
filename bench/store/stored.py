"""Runs on disk, for reading. What is damaged is found, and named."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import NotComparableError, UserError
from bench.store.cellfile import Facts, OutcomesReader, decode
from bench.store.checksum import BrokenFileError
from bench.store.consistency import odd_ones
from bench.store.evidence import Evidence
from bench.store.header import CELLS, RUN_FILE, CellEntry, RunHeader, read_header
from bench.store.records import CellOutcomes, Clean, Records
from bench.store.trustfile import Measured, read_measured

if TYPE_CHECKING:
    from bench.ids import ModelId

IMAGES = ".safetensors"
ODD = "disagrees with other cells of its model on the unattacked samples"


class StoredRun:
    """A run's folder, for reading.

    A cell whose file is missing or damaged has status "error" here, with the reason. Opening it reads and
    verifies every cell once, and keeps the outcomes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        header = read_header(path / RUN_FILE)
        read = CellsReader(header)
        stored = [self._as_stored(cell, read) for cell in header.cells]
        odd = read.odd_ones()
        self._outcomes = {key: found for key, found in read.outcomes.items() if key not in odd}
        self.header = replace(
            header, cells=tuple(self._spoilt(c, ODD) if c.key in odd else c for c in stored)
        )

    def outcomes(self, key: str) -> CellOutcomes:
        """What came out of the cell ``key``, whose status is "ok"."""
        return self._outcomes[key]

    def records(self, key: str) -> Records:
        """The per-sample records of the cell ``key``. Raises UserError if they are missing or broken."""
        return read_records(cell_file(self.path, key))

    def _as_stored(self, cell: CellEntry, read: "CellsReader") -> CellEntry:
        if cell.status != "ok":
            return cell
        try:
            read(cell_file(self.path, cell.key), cell)
        except BrokenFileError as error:
            return self._spoilt(cell, str(error))
        return cell

    def _spoilt(self, cell: CellEntry, why: str) -> CellEntry:
        error = f"{cell_file(self.path, cell.key)}: {why}; run the suite again to recompute it"
        return replace(cell, status="error", error=error)

    def evidence(self) -> list[Evidence]:
        """What was measured to see whether the cells can be trusted; empty where nothing was."""
        return [item for measured in self._measured() for item in measured.evidence]

    def checking_seconds(self) -> float:
        """How long these measurements took, over all models."""
        return sum(measured.seconds for measured in self._measured())

    def _measured(self) -> list[Measured]:
        """What each file says.

        Raises NotComparableError if one is damaged: a grade without it could be too good.
        """
        found = []
        for file in sorted((self.path / "trust").glob("*.json")):
            try:
                found.append(read_measured(file))
            except BrokenFileError as error:
                raise NotComparableError(
                    f"{file}: {error}; delete it and run the suite again to measure it again"
                ) from None
        return found


def list_runs(folder: Path) -> list[Path]:
    """Every run under ``folder`` (a results folder, a suite's, or a run itself), newest first.

    Some may have lost run.json.
    """
    if any((folder / name).exists() for name in (RUN_FILE, CELLS)):
        return [folder]
    found = {
        path.parent
        for depth in ("*", "*/*")
        for name in (RUN_FILE, CELLS)
        for path in folder.glob(f"{depth}/{name}")
    }
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
        raise UserError(f"{file}: {error}; run the suite again to recompute it") from None
    return records


class CellsReader:
    """Reads cells of one run, and keeps what came out of each.

    What contradicts the run's header, or itself, is not read.
    """

    def __init__(self, header: RunHeader) -> None:
        self._header = header
        self._reader = OutcomesReader()
        self._clean: dict[str, tuple[ModelId, Clean]] = {}
        self.outcomes: dict[str, CellOutcomes] = {}

    def __call__(self, file: Path, cell: CellEntry) -> None:
        """Read ``cell`` from ``file``.

        Raises BrokenFileError if that is missing, damaged, or another cell's.
        """
        found, clean, facts = self._reader.read(_bytes_of(file))
        _check_key(facts, cell.key)
        for name in ("eps", "norm", "library"):
            if facts.get(name) != str(getattr(cell, name)):
                raise BrokenFileError(f"is of another {name} than {RUN_FILE} says")
        if len(clean.id) != self._header.samples:
            raise BrokenFileError(f"holds {len(clean.id)} samples, not the run's {self._header.samples}")
        data = self._header.data
        if data is not None and clean.label.max(initial=0) >= len(data.classes):
            raise BrokenFileError(f"has labels above the {len(data.classes)} classes of the run")
        self._clean[cell.key] = cell.id.model, clean
        self.outcomes[cell.key] = found

    def odd_ones(self) -> set[str]:
        """Keys of the cells that disagree with others of their model on the unattacked samples."""
        return set(odd_ones(self._clean))


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
