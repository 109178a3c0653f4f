"""A Reproduction -> table or JSON."""

import json
from dataclasses import asdict

from rich.console import Group, RenderableType
from rich.text import Text

from bench.comparison.reproduction import CellOutcome, Reproduction, Verdict
from bench.render.fitted import fitted
from bench.text import first_line

REPRODUCTION_VERSION = 1
"""Of what ``bench reproduce --format json`` prints."""
COLUMNS = ("cell", "verdict", "newly broken", "no longer", "p (Holm)", "largest drift")
STYLE: dict[Verdict, str] = {
    "bitwise equal": "green",
    "equal within noise": "yellow",
    "different": "bold red",
    "not comparable": "red",
}


def reproduction_table(found: Reproduction, width: int) -> RenderableType:
    """How many cells came out how, each cell that is not bitwise equal, and what changed around them."""
    rows = [_row(outcome) for outcome in found.outcomes if outcome.verdict != "bitwise equal"]
    changes = [Text(f"changed: {change}", style="yellow") for change in found.changes]
    tables = [fitted("reproduction", COLUMNS, rows, width, right=COLUMNS[2:])] if rows else []
    return Group(*tables, *changes, Text(_summary(found)))


def _row(o: CellOutcome) -> tuple[str | Text, ...]:
    verdict = Text(o.verdict + (f": {first_line(o.reason)}" if o.reason else ""), style=STYLE[o.verdict])
    return o.cell, verdict, f"+{o.gained}", f"-{o.lost}", f"{o.p_value:.3f}", f"{o.drift:.1e}"


def _summary(found: Reproduction) -> str:
    return f"{len(found.outcomes)} cells: " + ", ".join(f"{found.counts[word]} {word}" for word in STYLE)


def reproduction_json(found: Reproduction) -> str:
    """Everything, for a machine."""
    return json.dumps(
        {
            "schema_version": REPRODUCTION_VERSION,
            **asdict(found),
            "run": str(found.run),
            "exit_code": int(found.exit_code),
        },
        indent=2,
    )
