"""The runs of a folder beside each other."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bench.render.cells import NONE, percent
from bench.render.footer import trust_in_short
from bench.render.words import in_short
from bench.runs import RunSummary

STATUS_STYLE = {"complete": "green", "incomplete": "yellow"}


def runs_table(runs: Sequence[RunSummary]) -> RenderableType:
    """Runs, newest first, each with its models from the most robust down."""
    return Group(*(part for run in runs for part in _run_table(run)))


def _run_table(run: RunSummary) -> tuple[RenderableType, ...]:
    standing = run.standing
    title = Text(f"{standing.suite} {run.path.name}", style="bold")
    status = Text(standing.status, style=STATUS_STYLE[standing.status])
    facts = Text.assemble(status, f", commit {run.commit or NONE}, against the reference: {in_short(run.verdict)}")
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("#", justify="right")
    table.add_column("model", overflow="fold")
    table.add_column("clean acc. % [95 %]", justify="right")
    table.add_column(f"worst case % at {standing.headline_eps} [95 %]", justify="right")
    for m in standing.places:
        name = f"{m.model} #{m.seed}" if len({one.seed for one in standing.places}) > 1 else m.model
        table.add_row(str(m.rank or NONE), escape(name), percent(m.accuracy), percent(m.worst_case, m.trust))
    trust, _ = trust_in_short(standing.graded, standing.trust_cost)
    return title, facts, table, Text(trust, style="dim")
