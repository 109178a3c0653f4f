"""A cell's file: its records as parquet bytes that carry their own checksum."""

from dataclasses import fields

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bench.records import COLUMNS, NORMS, OPTIONAL_COLUMNS, CellOutcomes, Ints, Records
from bench.seal import BLANK, BrokenFileError, check, seal

CELL_VERSION = 1
_BROKEN = (OSError, ValueError, KeyError, pa.ArrowException)
"""What pyarrow raises for damaged bytes."""

Facts = dict[str, str]


def encode(records: Records, facts: Facts) -> bytes:
    """``records`` and the ``facts`` about them as a sealed parquet file; equal input gives equal bytes."""
    columns = {name: getattr(records, name) for name in (*COLUMNS, *OPTIONAL_COLUMNS)}
    table = pa.table({name: column for name, column in columns.items() if column is not None})
    metadata = {**facts, "version": str(CELL_VERSION), "sha256": BLANK.decode()}
    sink = pa.BufferOutputStream()
    # Without Arrow's own copy of the schema, the checksum stands once behind the data, which may hold as many zeros.
    # Snappy, since a cell is small: a tenth larger than by zstd, and read in half the time.
    with pq.ParquetWriter(sink, table.schema, compression="snappy", store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(metadata)
    data: bytes = sink.getvalue().to_pybytes()
    return seal(data, data.rindex(BLANK))


def decode(data: bytes) -> tuple[Records, Facts]:
    """The records and facts in ``data``. Raises BrokenFileError if any byte of it changed since ``encode``."""
    file, facts = _verified(data)
    try:
        table = file.read(use_threads=False)  # a cell is small, and a folder of runs has thousands
        present = {name: _column(table, name) for name in OPTIONAL_COLUMNS if name in table.column_names}
        return Records(*(_column(table, name) for name in COLUMNS), **present), facts
    except _BROKEN as error:
        raise BrokenFileError(f"not a cell's file ({error})") from None


class OutcomesReader:
    """Reads of cells, one after another, what ranking and comparing need; those of the same samples share them."""

    def __init__(self) -> None:
        self._last: tuple[pa.Table, npt.NDArray[np.str_], Ints] | None = None

    def read(self, data: bytes) -> tuple[CellOutcomes, Facts]:
        """As ``decode``, without the other columns."""
        file, facts = _verified(data)
        norm = facts.get("norm", "")
        try:
            table = file.read(["id", "label", "clean_pred", "success", norm], use_threads=False)
            names, label = self._samples(table.select(["id", "label"]))
            correct, broken = _column(table, "clean_pred") == label, _column(table, "success")
            largest = float(_column(table, norm).max(initial=0)) if norm in NORMS else None
        except _BROKEN as error:
            raise BrokenFileError(f"not a cell's file ({error})") from None
        return CellOutcomes(names, label, correct, broken, largest), facts

    def _samples(self, table: pa.Table) -> tuple[npt.NDArray[np.str_], Ints]:
        if self._last is None or not self._last[0].equals(table):
            self._last = table, _column(table, "id"), _column(table, "label")
        return self._last[1:]


def verify(data: bytes) -> Facts:
    """The facts in ``data``, whose checksum fits. Raises BrokenFileError otherwise."""
    return _verified(data)[1]


def _verified(data: bytes) -> tuple[pq.ParquetFile, Facts]:
    """``data`` opened, once: that costs as much as reading it."""
    try:
        file = pq.ParquetFile(pa.BufferReader(data), pre_buffer=False)
        facts = {key.decode(): value.decode() for key, value in (file.metadata.metadata or {}).items()}
    except _BROKEN:
        raise BrokenFileError("truncated or damaged: it is no parquet file") from None
    if "sha256" not in facts:
        raise BrokenFileError("it has no checksum")
    check(data, facts.pop("sha256"))
    if facts.get("version") != str(CELL_VERSION):
        raise BrokenFileError(f"it is of version {facts.get('version')}; this one reads version {CELL_VERSION}")
    return file, facts


def join(parts: list[Records]) -> Records:
    """The rows of all ``parts``, in order."""
    return Records(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in _present(parts[0])})


def split(records: Records, count: int) -> list[Records]:
    """``records`` in ``count`` equal parts: undoes ``join`` of parts of one length."""
    columns = {name: np.split(getattr(records, name), count) for name in _present(records)}
    return [Records(**{name: parts[i] for name, parts in columns.items()}) for i in range(count)]


def _present(records: Records) -> list[str]:
    return [f.name for f in fields(Records) if getattr(records, f.name) is not None]


def _column(table: pa.Table, name: str) -> np.ndarray:
    """Not by ``to_numpy``, which imports pandas wherever that is installed."""
    column = table.column(name).combine_chunks()
    if pa.types.is_string(column.type):
        return np.array(column.to_pylist(), dtype=np.str_)
    if pa.types.is_boolean(column.type):
        bits = np.frombuffer(column.buffers()[1] or b"", dtype=np.uint8)
        return np.unpackbits(bits, bitorder="little")[column.offset :][: len(column)].view(np.bool_)
    return np.from_dlpack(column)
