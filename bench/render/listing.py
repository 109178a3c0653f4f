"""Plain tables: previews, catalogues, the doctor's findings."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bench.api.pipeline import Trained
from bench.api.preview import Preview
from bench.render.plain import Finding, Listing

STATUS_STYLE = {"ok": "green", "note": "yellow", "missing": "bold red"}


def catalogue_table(listing: Listing) -> RenderableType:
    """``listing`` as it is, its notes below; where the terminal is narrow, its widest column is folded."""
    table = _table(listing.title)
    whole = [row for row in listing.rows if len(row) == len(listing.columns)]
    widths = [max(map(len, texts)) for texts in zip(listing.columns, *whole, strict=True)]
    for i, column in enumerate(listing.columns):
        table.add_column(column, overflow="fold", no_wrap=i != widths.index(max(widths)))
    for row in listing.rows:
        heading = len(row) < len(listing.columns)
        if heading:
            table.add_section()
        table.add_row(*map(escape, row), style="bold" if heading else "")
    return Group(table, *(Text(f"• {note}") for note in listing.notes)) if listing.notes else table


def doctor_table(findings: Sequence[Finding]) -> Table:
    """The examination, one finding a line."""
    table = _table("doctor")
    for column in ("", "what", "found"):
        table.add_column(column, overflow="fold")
    for f in findings:
        table.add_row(Text(f.status, style=STATUS_STYLE[f.status]), escape(f.what), escape(f.found))
    return table


def preview_table(found: Preview) -> RenderableType:
    """What would be run."""
    table = _table("dry run: nothing is trained, attacked or written")
    table.add_column("unit: model/seed/attack/library", overflow="fold")
    for column in ("cells", "cached", "model", "time left"):
        table.add_column(column, justify="right")
    for u in found.units:
        time = f"{_seconds(u.seconds)}{' (estimated)' if u.probed else ''}"
        table.add_row(escape(u.label), str(u.cells), str(u.cached), "trained" if u.trained else "to train", time)
    layers = (Text(f"{model}: targets mean {_layers(names)}") for model, names in found.layers.items())
    return Group(table, *layers, Text(_total(found)))


def _layers(names: Sequence[str]) -> str:
    return f"the {'layer' if len(names) == 1 else f'{len(names)} layers'} {', '.join(names)}"


def trained_table(models: Sequence[Trained]) -> Table:
    """The trained models, and where their weights are."""
    table = _table("trained models")
    for column in ("model", "seed", "method", "trained params", "epochs", "loss"):
        table.add_column(column, justify="left" if column in ("model", "method") else "right")
    table.add_column("folder", overflow="fold")
    for m in models:
        losses = m.card.losses
        loss = f"{losses[-1]:.3f}" if losses else "none"
        trained, model = f"{m.card.trainable_parameters:,}", (escape(m.model.name), str(m.model.seed))
        table.add_row(*model, m.card.method, trained, str(len(losses)), loss, escape(str(m.folder)))
    return table


def _total(found: Preview) -> str:
    cells, cached = sum(u.cells for u in found.units), sum(u.cached for u in found.units)
    attacks = _seconds(found.seconds)
    training = f", and {_seconds(found.training)} of training" if found.training else ""
    how = " (estimated by one gradient on random images)" if training or any(u.probed for u in found.units) else ""
    return f"{cells} cells, {cached} cached, {cells - cached} to compute: about {attacks}{training}{how}"


def _seconds(seconds: float) -> str:
    """12 s; whatever takes time at all takes a second."""
    return f"{max(seconds, 1):.0f} s" if seconds else "0 s"


def _table(title: str) -> Table:
    return Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
