"""A cell's file: its records as parquet bytes that carry their own checksum."""

from collections.abc import Mapping
from dataclasses import fields, replace
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.eps import eps_text
from bench.ids import CellId
from bench.store.checksum import BLANK, BrokenFileError, check, seal
from bench.store.consistency import check_attacked, check_clean, check_ids
from bench.store.records import (
    CHANCES,
    COLUMNS,
    NORMS,
    OPTIONAL_COLUMNS,
    Attacked,
    CellOutcomes,
    Chances,
    Clean,
    Records,
)

CELL_VERSION = 1
_BROKEN = (OSError, ValueError, KeyError, pa.ArrowException)
"""What pyarrow raises for damaged bytes."""

Facts = dict[str, str]
NAMES = ("model", "seed", "attack", "library", "norm")
KEY = "key"
"""The fact that a cell's file has, and no part's."""
CLEAN = ("label", "clean_pred", "clean_prob", "clean_prob_true")
AFTER = ("adv_pred", "adv_prob", "adv_prob_true", "success")
TYPES = {
    **dict.fromkeys((*COLUMNS, *OPTIONAL_COLUMNS), pa.float32()),
    **dict.fromkeys(("label", "clean_pred", "adv_pred", "queries"), pa.int64()),
    "id": pa.string(),
    "success": pa.bool_(),
}
"""What the columns are, as they are written."""


def encode_cell(records: Records, cell: CellId, key: str) -> bytes:
    """The ``records`` of ``cell``, stored as ``key``, as a parquet file.

    What cell it is stands in its metadata, and as columns behind the records: a folder of cells read at once,
    as by ``pandas.read_parquet``, tells its rows apart.
    """
    facts = {name: str(value) for name, value in _named(cell).items() if name in NAMES}
    return encode(records, {**facts, "eps": str(cell.eps), KEY: key}, _named(cell))


def _named(cell: CellId) -> dict[str, str | int | float]:
    """The columns that say what a row is of; ``eps`` as people write it, ``eps_value`` to compute with."""
    return {
        "model": cell.model.name,
        "seed": cell.model.seed,
        "attack": cell.attack,
        "library": cell.library,
        "norm": cell.norm,
        "eps": eps_text(cell.eps),
        "eps_value": float(cell.eps),
    }


def encode(
    records: Records, facts: Facts, same: Mapping[str, str | int | float] = MappingProxyType({})
) -> bytes:
    """``records`` and ``facts`` about them as a parquet file with its checksum; equal input, equal bytes.

    ``same``: columns that have one value in all rows.
    """
    columns = {name: getattr(records, name) for name in (*COLUMNS, *OPTIONAL_COLUMNS)}
    repeated = {name: pa.repeat(value, len(records)) for name, value in same.items()}
    table = pa.table({name: column for name, column in columns.items() if column is not None} | repeated)
    metadata = {**facts, "version": str(CELL_VERSION), "sha256": BLANK.decode()}
    sink = pa.BufferOutputStream()
    # Without Arrow's own copy of the schema, the checksum stands once behind the data, which may hold as many
    # zeros.
    # Snappy, since a cell is small: a tenth larger than by zstd, and read in half the time.
    with pq.ParquetWriter(sink, table.schema, compression="snappy", store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(metadata)
    data: bytes = sink.getvalue().to_pybytes()
    return seal(data, data.rindex(BLANK))


def decode(data: bytes) -> tuple[Records, Facts]:
    """The records and facts in ``data``.

    Raises BrokenFileError if any byte of it changed since ``encode``, or if its columns contradict each
    other.
    """
    file, facts = _verified(data)
    try:
        table = file.read(use_threads=False)  # a cell is small, and a folder of runs has thousands
        present = {name: _column(table, name) for name in OPTIONAL_COLUMNS if name in table.column_names}
        records = Records(*(_column(table, name) for name in COLUMNS), **present)
    except _BROKEN as error:
        raise BrokenFileError(f"not a cell's file ({error})") from None
    clean = replace(Clean(records.id, *(getattr(records, name) for name in CLEAN)), right=records.clean_right)
    if KEY in facts:  # a part holds each sample once for each eps
        check_ids(clean)
    check_clean(clean)
    distances = {name: getattr(records, name) for name in NORMS}
    pred, prob, prob_true, success = (getattr(records, name) for name in AFTER)
    chances = records.adv_right, records.adv_choice
    after = Attacked(pred, prob, prob_true, success, distances, records.queries, records.distance, *chances)
    check_attacked(clean, after, facts.get("norm"), facts.get("eps"))
    return records, facts


class OutcomesReader:
    """Reads of cells, one after another, what ranking and comparing need.

    Those with the same clean columns share them.
    """

    def __init__(self) -> None:
        self._last: tuple[bytes, Clean] | None = None

    def read(self, data: bytes) -> tuple[CellOutcomes, Clean, Facts]:
        """As ``decode``, without the columns that neither ranking nor the agreement of the others needs."""
        file, facts = _verified(data)
        norm = facts.get("norm", "")
        distances = [norm] if norm in NORMS else []
        try:
            clean = self._clean(file, data)
            random = [name for name in CHANCES if name in file.schema_arrow.names]
            table = file.read([*AFTER, *distances, *random], use_threads=False)
            pred, prob, prob_true, success = (_column(table, name) for name in AFTER)
            far = {name: _column(table, name) for name in distances}
            before, right, choice = (
                (_column(table, name) for name in CHANCES) if random else (None, None, None)
            )
        except _BROKEN as error:
            raise BrokenFileError(f"not a cell's file ({error})") from None
        if len(success) != len(clean.id):
            raise BrokenFileError("not a cell's file (its columns differ in length)")
        clean = replace(clean, right=before) if random else clean
        check_attacked(
            clean,
            Attacked(pred, prob, prob_true, success, far, right=right, choice=choice),
            norm,
            facts.get("eps"),
        )
        largest = float(far[norm].max(initial=0)) if distances else None
        chances = (
            None if before is None or right is None or choice is None else Chances(before, right, choice)
        )
        return CellOutcomes(clean.id, clean.label, clean.correct, success, largest, chances), clean, facts

    def _clean(self, file: pq.ParquetFile, data: bytes) -> Clean:
        """The clean columns, which stand first in a file: cells of one model hold the same bytes there."""
        head = _head(file, data)
        if self._last is None or not head or self._last[0] != head:
            table = file.read(["id", *CLEAN], use_threads=False)
            clean = Clean(_column(table, "id"), *(_column(table, name) for name in CLEAN))
            check_ids(clean)
            check_clean(clean)
            self._last = head, clean
        return self._last[1]


def named_as(data: bytes, cell: CellId, key: str) -> bytes:
    """The sound cell's file ``data`` as one of ``cell``.

    It stays as it is, unless it names another, or is from before its rows named any.
    """
    file, facts = _verified(data)
    asked = _named(cell)
    if "eps_value" in file.schema_arrow.names and all(facts.get(name) == str(asked[name]) for name in NAMES):
        return data
    return encode_cell(decode(data)[0], cell, key)


def _head(file: pq.ParquetFile, data: bytes) -> bytes:
    """What ``data`` begins with, up to the end of the last clean column; nothing if columns lie otherwise."""
    columns = file.metadata.row_group(0) if file.metadata.num_row_groups == 1 else None
    last = columns.column(len(CLEAN)) if columns is not None and columns.num_columns > len(CLEAN) else None
    if last is None or last.path_in_schema != CLEAN[-1]:
        return b""
    return data[: (last.dictionary_page_offset or last.data_page_offset) + last.total_compressed_size]


def _verified(data: bytes) -> tuple[pq.ParquetFile, Facts]:
    """``data`` opened, once: that costs as much as reading it."""
    try:
        file = pq.ParquetFile(pa.BufferReader(data), pre_buffer=False)
        facts = {key.decode(): value.decode() for key, value in (file.metadata.metadata or {}).items()}
    except _BROKEN:
        raise BrokenFileError("truncated or damaged: not a Parquet file") from None
    if "sha256" not in facts:
        raise BrokenFileError("it has no checksum")
    check(data, facts.pop("sha256"))
    if facts.get("version") != str(CELL_VERSION):
        raise BrokenFileError(
            f"it is of version {facts.get('version')}; this one reads version {CELL_VERSION}"
        )
    return file, facts


def join(parts: list[Records]) -> Records:
    """The rows of all ``parts``, in order."""
    return Records(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in _present(parts[0])}
    )


def split(records: Records, count: int) -> list[Records]:
    """``records`` in ``count`` equal parts: undoes ``join`` of parts of one length."""
    columns = {name: np.split(getattr(records, name), count) for name in _present(records)}
    return [Records(**{name: parts[i] for name, parts in columns.items()}) for i in range(count)]


def _present(records: Records) -> list[str]:
    return [f.name for f in fields(Records) if getattr(records, f.name) is not None]


def _column(table: pa.Table, name: str) -> np.ndarray:
    """Not by ``to_numpy``, which imports pandas wherever that is installed.

    Raises ValueError if a value is missing.
    """
    chunks = table.column(name)
    column = chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()
    if column.null_count or column.type != TYPES[name]:
        raise ValueError(f"the column {name} is {column.type}, or has gaps")
    if pa.types.is_string(column.type):
        return np.array(column.to_pylist(), dtype=np.str_)
    if pa.types.is_boolean(column.type):
        bits = np.frombuffer(column.buffers()[1] or b"", dtype=np.uint8)
        return np.unpackbits(bits, bitorder="little")[column.offset :][: len(column)].view(np.bool_)
    return np.from_dlpack(column)
