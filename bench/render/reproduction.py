"""A Reproduction -> table or JSON."""

import json
from collections import Counter
from dataclasses import asdict

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bench.comparison.reproduction import Reproduction
from bench.text import first_line

REPRODUCTION_VERSION = 1
"""Of what ``bench reproduce --format json`` prints."""
STYLE = {"bitwise equal": "green", "equal within noise": "yellow", "different": "bold red", "not comparable": "red"}


def reproduction_table(found: Reproduction) -> RenderableType:
    """How many cells came out how, each cell that is not bitwise equal, and what changed around them."""
    table = Table(title="reproduction", box=box.SIMPLE_HEAD, title_justify="left")
    for column in ("cell", "verdict", "newly broken", "no longer", "p (Holm)", "largest drift"):
        table.add_column(column, overflow="fold", justify="left" if column in {"cell", "verdict"} else "right")
    for o in found.outcomes:
        if o.verdict != "bitwise equal":
            verdict = Text(o.verdict + (f": {first_line(o.reason)}" if o.reason else ""), style=STYLE[o.verdict])
            table.add_row(escape(o.cell), verdict, f"+{o.gained}", f"-{o.lost}", f"{o.p_value:.3f}", f"{o.drift:.1e}")
    changes = [Text(f"changed: {change}", style="yellow") for change in found.changes]
    return Group(*([table] if table.row_count else []), *changes, Text(_summary(found)))


def _summary(found: Reproduction) -> str:
    counts = Counter[str](outcome.verdict for outcome in found.outcomes)
    return f"{len(found.outcomes)} cells: " + ", ".join(f"{counts[verdict]} {verdict}" for verdict in STYLE)


def reproduction_json(found: Reproduction) -> str:
    """Everything, for a machine."""
    return json.dumps(
        {"schema_version": REPRODUCTION_VERSION, **asdict(found), "run": str(found.run), "exit_code": int(found.exit_code)},
        indent=2,
    )
