"""Plain tables: previews, catalogues, the doctor's findings."""

import json
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from bench.engine.summaries import Preview, Trained, UnitPreview
from bench.render.fitted import fitted
from bench.render.plain import Finding, Listing, Value

LISTING_VERSION = 1
"""Of what ``bench list WHAT --format json`` prints."""
STATUS_STYLE = {"ok": "green", "note": "yellow", "missing": "bold red"}


def catalogue_table(listing: Listing, width: int) -> RenderableType:
    """``listing`` with its headings, its notes below."""
    columns = [column for column in listing.rows[0] if column not in listing.above]
    rows: list[list[str]] = []
    heading: list[str] = []
    for row in listing.rows:
        if (over := [_text(row[column]) for column in listing.above]) != heading:
            heading = over
            rows.append(heading)
        rows.append([_text(row[column]) for column in columns])
    table = fitted(listing.title, columns, rows, width)
    return Group(table, *(Text(f"• {note}") for note in listing.notes)) if listing.notes else table


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    return " ".join(value) if isinstance(value, tuple) else str(value)


def listing_json(listing: Listing) -> str:
    """``listing`` as one JSON object."""
    rows = [{column.replace(" ", "_"): value for column, value in row.items()} for row in listing.rows]
    found = {
        "schema_version": LISTING_VERSION,
        "kind": listing.kind,
        "rows": rows,
        "notes": list(listing.notes),
    }
    return json.dumps(found, indent=2)


def doctor_table(findings: Sequence[Finding], width: int) -> RenderableType:
    """The examination, one finding a line."""
    rows = [(Text(f.status, style=STATUS_STYLE[f.status]), f.what, f.found) for f in findings]
    return fitted("doctor", ("", "what", "found"), rows, width)


def preview_table(found: Preview, width: int) -> RenderableType:
    """What would be run."""
    columns = ("model/seed/attack/library", "cells", "cached", "model", "time left")
    rows = [
        (u.label, str(u.cells), str(u.cached), "trained" if u.trained else "to train", _time(u))
        for u in found.units
    ]
    table = fitted(
        "dry run: nothing is trained, attacked or written", columns, rows, width, right=columns[1:]
    )
    layers = (Text(f"{model}: targets mean {_layers(names)}") for model, names in found.layers.items())
    return Group(table, *layers, Text(_total(found)))


def _layers(names: Sequence[str]) -> str:
    return f"the {'layer' if len(names) == 1 else f'{len(names)} layers'} {', '.join(names)}"


def trained_table(models: Sequence[Trained], width: int) -> RenderableType:
    """The trained models, and where their weights are: each path whole on a line of its own."""
    columns = ("model", "seed", "method", "trained params", "epochs", "loss")
    rows = [(m.model.name, str(m.model.seed), m.card.method, *_went(m)) for m in models]
    table = fitted("trained models", columns, rows, width, right=("seed", "trained params", "epochs", "loss"))
    seeds = len({m.model.seed for m in models}) > 1
    where = [(f"{m.model.title(seeds=seeds)}:", str(m.folder)) for m in models]
    lines = [Text(line, no_wrap=True, overflow="ignore") for pair in where for line in pair]
    return Group(table, Text("where their weights are", style="italic"), *lines)


def _went(trained: Trained) -> tuple[str, str, str]:
    """Its trained parameters, epochs and last loss."""
    losses = trained.card.losses
    return (
        f"{trained.card.trainable_parameters:,}",
        str(len(losses)),
        f"{losses[-1]:.3f}" if losses else "none",
    )


def _time(unit: UnitPreview) -> str:
    return f"{'about ' if unit.probed else ''}{_seconds(unit.seconds)}"


def _total(found: Preview) -> str:
    left = f"{found.cells} cells, {found.cached} cached, {found.cells - found.cached} to compute"
    training = f", and {_seconds(found.training)} of training" if found.training else ""
    how = " (estimated: one pass of random images, times what attacks ask at most)" if found.probed else ""
    return f"{left}: about {_seconds(found.seconds)}{training}{how}"


def _seconds(seconds: float) -> str:
    """12 s; whatever takes time at all takes a second."""
    return f"{max(seconds, 1):.0f} s" if seconds else "0 s"
