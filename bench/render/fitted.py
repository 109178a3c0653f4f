"""Plain tables that fit a terminal: where it is narrow, texts go over several lines.

They break between words as far as there is room.
"""

from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

EDGES = 3
"""Columns that a table's lines and padding take for each of its own."""


def fitted(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    width: int,
    right: Sequence[str] = (),
) -> RenderableType:
    """``rows`` (texts, no markup) under ``columns`` within ``width``; those called ``right`` are aligned so.

    A row with fewer texts than there are columns is the heading of those below it.
    """
    table = Table(box=box.SIMPLE_HEAD)
    texts = [[column, *(str(row[i]) for row in rows if i < len(row))] for i, column in enumerate(columns)]
    for column, room in zip(columns, _widths(texts, width - EDGES * len(columns) - 1), strict=True):
        table.add_column(column, width=room, overflow="fold", justify="right" if column in right else "left")
    for row in rows:
        if heading := len(row) < len(columns):
            table.add_section()
        table.add_row(
            *(Text(cell) if isinstance(cell, str) else cell for cell in row), style="bold" if heading else ""
        )
    return Group(Text(title, style="italic"), table)  # a table would break its title at its own width


def _widths(texts: Sequence[Sequence[str]], room: int) -> list[int]:
    """A width for each column of ``texts`` (its header first): what it needs, or in all ``room``.

    The widest give way first: down to their longest word, and if that is not enough, to the longest word of
    their header.
    """
    widths = [max(_longest(text, "\n") for text in column) for column in texts]
    for least in (
        [max(map(_longest, column)) for column in texts],
        [_longest(column[0]) for column in texts],
    ):
        while sum(widths) > room:
            wide = [i for i, width in enumerate(widths) if width > least[i]]
            if not wide:
                break
            widths[max(wide, key=lambda i: widths[i])] -= 1
    return widths


def _longest(text: str, between: str | None = None) -> int:
    """The columns that the longest part of ``text`` takes: its longest word, or what stands ``between``."""
    return max(map(cell_len, text.split(between)), default=0)
