"""What plain tables show: a catalogue, and the findings of an examination."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "note", "missing"]


@dataclass(frozen=True)
class Listing:
    """A plain table. A row with fewer texts than columns is the heading of those below it."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: Sequence[str] = ()
    """Said below the table."""


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    what: str
    found: str
    status: Status = "ok"
