"""What became of cells since run.json was last written: one line for each time that something was noted, at a file's end.

A run.json of thousands of cells takes long to write. Until its next writing, whoever reads it reads this file too. A line
carries its own checksum, so that one that is torn or damaged says nothing: its cells' files are on disk all the same.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter

from bench.atomic import RESUME
from bench.errors import StorageError
from bench.store.shapes import Count, FileName, Images, Number, Provenance, Status, Text, Words
from bench.strangers import parse, read_bytes, typed

JOURNAL = "journal.jsonl"
DIGITS = 16
"""Of a line's checksum."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Noted:
    """The fields of a cell that change while a run is made, see CellEntry."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    status: Status
    error: Words | None
    seconds: Number | None
    forwards: Count | None
    backwards: Count | None
    adversarials: Images | None
    origin: Text


NOTED = tuple(field.name for field in fields(Noted))


@dataclass(frozen=True)
class Note:
    """What one process noted at once: cells, by key, and the origins that they name."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    cells: dict[FileName, Noted]
    origins: dict[Text, Provenance]


_NOTE = TypeAdapter(Note)


class Journal:
    """The journal of the run in the folder ``run``; whoever writes to it holds the lock of its folder."""

    def __init__(self, run: Path) -> None:
        self._file = run / JOURNAL
        self._read = 0

    @property
    def size(self) -> int:
        """In bytes; 0 if there is none."""
        return self._file.stat().st_size if self._file.is_file() else 0

    def append(self, note: Note) -> None:
        """Write ``note`` down. Raises StorageError if there is no room: what is there of the line says nothing."""
        body = json.dumps(asdict(note)).encode()
        try:
            with self._file.open("ab") as file:
                file.write(b"\n" + _sum(body) + b" " + body + b"\n")  # the first ends a line that was torn
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(f"{self._file}: cannot be written: {error.strerror}; {RESUME}") from None

    def rewind(self) -> None:
        """Read from the start again: run.json was written anew."""
        self._read = 0

    def unread(self) -> Iterator[Note]:
        """What was noted since the last reading, in order."""
        try:
            data = read_bytes(self._file)[self._read :]
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            log.warning("%s: %s; not used", self._file, error)
            return
        self._read += len(data)
        for line in data.splitlines():
            if (note := _parse(line)) is not None:
                yield note

    def drop(self) -> None:
        """Remove it: run.json says it all."""
        self._file.unlink(missing_ok=True)
        self._read = 0


def _sum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:DIGITS].encode()


def _parse(line: bytes) -> Note | None:
    checksum, _, body = line.partition(b" ")
    if not body or checksum != _sum(body):
        return None
    try:
        return typed(_NOTE, parse(body))
    except ValueError:
        return None
