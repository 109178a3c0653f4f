"""Verdict -> the comparison on a terminal."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bench.comparison.phrases import details, headline
from bench.comparison.verdict import Row, Verdict
from bench.eps import eps_text
from bench.ids import CellId
from bench.render.cells import GLYPHS
from bench.render.rates import title
from bench.text import MARKS, points, share, short_p

STYLE = {"pass": "bold green", "fail": "bold red", "incomplete": "bold yellow", "changed": "bold yellow"}
SHOWN_FLIPS = 20
"""Flips listed per row of exact mode, unless every row is asked for."""


def verdict_table(verdict: Verdict, *, every_row: bool) -> RenderableType:
    """The whole comparison: rows that show a change (``every_row``: all), then what is to be known of it."""
    rows = verdict.rows if every_row else verdict.changes
    models = dict.fromkeys(row.cell.model for row in rows)
    order = {model: i for i, model in enumerate(models)}
    parts: list[RenderableType] = [
        Text(f"{verdict.suite}: {verdict.before} -> {verdict.after}", style="bold")
    ]
    if rows:
        parts.append(_table(sorted(rows, key=lambda row: order[row.cell.model]), verdict))
    parts += [Text(line) for line in details(verdict)]
    parts += _flips(rows, None if every_row else SHOWN_FLIPS)
    parts.append(Text(headline(verdict), style=STYLE.get(verdict.word, "bold")))
    return Group(*parts)


def _table(rows: Sequence[Row], verdict: Verdict) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0)
    table.add_column("", no_wrap=True)
    table.add_column("attack library eps", overflow="fold")
    for column in ("n", "before\n%", "after\n%", "change\npoints", "flips", "p", "p after\nHolm"):
        table.add_column(column, justify="right", no_wrap=True)
    model = None
    for row in rows:
        if row.cell.model != model:
            model = row.cell.model
            table.add_row("", Text(title(model, seeds=True), style="bold"))
        table.add_row(*_cells(row, gated=verdict.gated))
    return table


def _cells(row: Row, *, gated: bool) -> tuple[Text | str, ...]:
    glyph, style = GLYPHS[row.outcome(gated=gated)]
    cell = row.cell
    return (
        Text(glyph, style=style),
        escape(
            f"{cell.attack} {cell.library} {eps_text(cell.eps)}"
            if isinstance(cell, CellId)
            else "clean accuracy"
        ),
        str(row.n),
        share(row.before),
        share(row.after) + MARKS[row.trust or "pass"],
        Text(points(row.difference) if row.changed else "~", style=style),
        f"+{row.gained}/-{row.lost}",
        short_p(row.p_value),
        "exact" if row.p_adjusted is None else short_p(row.p_adjusted),
    )


def _flips(rows: tuple[Row, ...], limit: int | None) -> Iterator[Text]:
    for row in rows:
        if row.flips:
            shown = ", ".join(f"{'+' if f.gained else '-'}{f.sample}" for f in row.flips[:limit])
            more = len(row.flips[limit:]) if limit else 0
            yield Text(
                f"flips of {row.cell}: {shown}{f', and {more} more (--all lists them)' if more else ''}"
            )
