"""Verdict -> the comparison on a terminal."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from bench.comparison.phrases import details, headline
from bench.comparison.verdict import Row, Verdict
from bench.eps import eps_text
from bench.ids import CellId, RowId
from bench.render.fitted import fitted
from bench.render.numbers import GLYPHS
from bench.text import MARKS, points, share, short_p

STYLE = {"pass": "bold green", "fail": "bold red", "incomplete": "bold yellow", "changed": "bold yellow"}
SHOWN_FLIPS = 20
"""Flips listed per row of exact mode, unless every row is asked for."""


def verdict_table(verdict: Verdict, width: int, *, every_row: bool) -> RenderableType:
    """The whole comparison: rows that show a change (``every_row``: all), then what is to be known of it."""
    rows = verdict.rows if every_row else verdict.changes
    models = dict.fromkeys(row.cell.model for row in rows)
    order = {model: i for i, model in enumerate(models)}
    parts: list[RenderableType] = [
        Text(f"{verdict.suite}: {verdict.before} -> {verdict.after}", style="bold")
    ]
    if rows:
        parts.append(_table(sorted(rows, key=lambda row: order[row.cell.model]), verdict, width))
    parts += [Text(line) for line in details(verdict)]
    parts += _flips(rows, None if every_row else SHOWN_FLIPS)
    parts.append(Text(headline(verdict), style=STYLE.get(verdict.word, "bold")))
    return Group(*parts)


NUMBERS = ("n", "before\n%", "after\n%", "change\npoints", "flips", "p", "p after\nHolm")


def _table(rows: Sequence[Row], verdict: Verdict, width: int) -> RenderableType:
    """The ``rows``, each model's under its name."""
    lines: list[tuple[str | Text, ...]] = []
    model = None
    for row in rows:
        if row.cell.model != model:
            model = row.cell.model
            lines.append(("", model.title(seeds=True)))
        lines.append(_cells(row, gated=verdict.gated))
    return fitted("", ("", "attack library eps", *NUMBERS), lines, width, right=NUMBERS)


def _cells(row: Row, *, gated: bool) -> tuple[Text | str, ...]:
    glyph, style = GLYPHS[row.outcome(gated=gated)]
    return (
        Text(glyph, style=style),
        _what(row.cell),
        str(row.n),
        share(row.before),
        share(row.after) + MARKS[row.trust or "pass"],
        Text(points(row.difference) if row.changed else "~", style=style),
        f"+{row.gained}/-{row.lost}",
        short_p(row.p_value),
        "exact" if row.p_adjusted is None else short_p(row.p_adjusted),
    )


def _what(cell: RowId) -> str:
    if isinstance(cell, CellId):
        return f"{cell.attack} {cell.library} {eps_text(cell.eps)}"
    return "clean accuracy"


def _flips(rows: tuple[Row, ...], limit: int | None) -> Iterator[Text]:
    for row in rows:
        if row.flips:
            shown = ", ".join(f"{'+' if f.gained else '-'}{f.sample}" for f in row.flips[:limit])
            more = len(row.flips[limit:]) if limit else 0
            yield Text(
                f"flips of {row.cell}: {shown}{f', and {more} more (--all lists them)' if more else ''}"
            )
