"""What plain tables show: a catalogue, and the findings of an examination."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "note", "missing"]


Value = str | int | bool | tuple[str, ...]


@dataclass(frozen=True)
class Listing:
    """What there is of one ``kind``: rows by column.

    Rows that agree in the columns ``above`` stand under one heading.
    """

    kind: str
    title: str
    rows: Sequence[Mapping[str, Value]]
    notes: Sequence[str] = ()
    """Said below the table."""
    above: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    what: str
    found: str
    status: Status = "ok"
