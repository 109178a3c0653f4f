"""Tables that fit a terminal: where it is narrow, texts go over several lines.

They break between words, else behind the separators inside a name (robust-lora-/fc), and inside a part of a
name only where even that has no room. Numbers stay on one line longest.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

GAP, NARROW_GAP = 3, 2
"""Terminal columns between two columns of a table."""
EDGES = 2
"""Terminal columns that the two edges of a table take."""
SEPARATOR = re.compile(r"(?<=[\w)\]][-_/|=+])(?=\w)")
"""Where a name may break: behind a sign between two of its parts, which the sign of a number is not."""

Split = Callable[[str], Sequence[str]]


def fitted(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    width: int,
    right: Sequence[str] = (),
) -> RenderableType:
    """``title``, if any, and ``rows`` (texts, no markup) under ``columns`` within ``width``.

    Those called ``right`` hold numbers, and are aligned so. A row with fewer texts than there are columns is
    the heading of those below it; an empty one is a line between those above and below it.
    """
    rows = list(rows)
    texts = [[column, *(str(row[i]) for row in rows if i < len(row))] for i, column in enumerate(columns)]
    widths, gap = _fit(texts, [column in right for column in columns], width - EDGES)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=gap == NARROW_GAP)
    for column, room in zip(columns, widths, strict=True):
        header = Text(broken(column, room))
        table.add_column(header, width=room, overflow="fold", justify="right" if column in right else "left")
    for row in rows:
        if is_heading := len(row) < len(columns):
            table.add_section()
        if row:
            cells = (_broken(cell, room) for cell, room in zip(row, widths, strict=False))
            table.add_row(*cells, style="bold" if is_heading else "")
    if not title:
        return table
    return Group(Text(title, style="italic"), table)  # a table would break its title at its own width


def _fit(texts: Sequence[Sequence[str]], numbers: Sequence[bool], width: int) -> tuple[list[int], int]:
    """A width for each column of ``texts`` (its header first), and the gap between two of them.

    ``numbers`` says which columns hold those. A column is as wide as it needs, unless all together take more
    than ``width``: then the widest give way first, as far as one way to break texts goes, and then the next.
    The gap is narrow where that spares a break, or a break inside a word.
    """
    least = [_least(texts, numbers, ways) for ways in BREAKS]
    rooms = {gap: width - gap * (len(texts) - 1) for gap in (GAP, NARROW_GAP)}
    gap = next((gap for widths in least[:2] for gap in rooms if sum(widths) <= rooms[gap]), NARROW_GAP)
    widths = least[0]
    for narrowest in least:
        while sum(widths) > rooms[gap] and (wide := [i for i, w in enumerate(widths) if w > narrowest[i]]):
            widths[max(wide, key=lambda i: widths[i])] -= 1
    return widths, gap


def _least(
    texts: Sequence[Sequence[str]], numbers: Sequence[bool], ways: tuple[Split, Split, Split]
) -> list[int]:
    """How narrow each column can be with its header, its words or its numbers broken in these ``ways``."""
    of_header, of_words, of_numbers = ways
    found = []
    for (header, *cells), is_number in zip(texts, numbers, strict=True):
        way = of_numbers if is_number else of_words
        pieces = [*of_header(header), *(piece for cell in cells for piece in way(cell))]
        found.append(max(map(cell_len, pieces), default=0))
    return found


def _parts(text: str) -> list[str]:
    return [part for word in text.split() for part in SEPARATOR.split(word)]


BREAKS: tuple[tuple[Split, Split, Split], ...] = (
    (str.splitlines, str.splitlines, str.splitlines),
    (str.split, str.split, str.splitlines),
    (_parts, _parts, str.splitlines),
    (_parts, _parts, str.split),
    (_parts, list, list),
)
"""How headers, words and numbers may be broken, the sooner the better."""


def _broken(cell: str | Text, width: int) -> Text:
    return Text(broken(str(cell), width), style=cell.style if isinstance(cell, Text) else "")


def broken(text: str, width: int) -> str:
    """``text`` with line feeds at the best places for lines of ``width``."""
    return "\n".join(line for given in text.split("\n") for line in _lines(given, width))


def _lines(text: str, width: int) -> list[str]:
    lines = [""]
    for word in re.findall(r"\s*\S+", text):
        for piece in _pieces(word, width):
            if lines[-1] and cell_len(lines[-1] + piece) > width:
                lines.append(piece.lstrip())
            else:
                lines[-1] += piece
    return lines


def _pieces(word: str, width: int) -> Iterator[str]:
    """``word`` (with the space before it) whole if a line holds it, else its parts, or their characters."""
    if cell_len(word.strip()) <= width:
        yield word
        return
    for part in SEPARATOR.split(word):
        yield from [part] if cell_len(part.strip()) <= width else part
