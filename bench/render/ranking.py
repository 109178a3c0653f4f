"""The runs of a folder beside each other."""

import json
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bench.comparison.phrases import in_short
from bench.comparison.runs import RunSummary, UnusableRun
from bench.eps import eps_text
from bench.render.cells import flat, percent, rounded
from bench.render.footer import trust_in_short
from bench.render.rates import title
from bench.render.seen import seen_lines
from bench.text import NONE

RUNS_VERSION = 3
"""Of what ``bench compare FOLDER --format json`` prints."""
STATUS_STYLE = {"complete": "green", "incomplete": "yellow"}


def runs_table(runs: Sequence[RunSummary | UnusableRun]) -> RenderableType:
    """Runs, newest first, each with its models from the most robust down."""
    return Group(*(part for run in runs for part in (_unusable(run) if isinstance(run, UnusableRun) else _run_table(run))))


def runs_json(runs: Sequence[RunSummary | UnusableRun]) -> str:
    """As ``runs_table``, as one JSON object."""
    found = [_unusable_row(run) if isinstance(run, UnusableRun) else _run_row(run) for run in runs]
    return json.dumps(rounded({"schema_version": RUNS_VERSION, "runs": found}), indent=2, allow_nan=False)


def _run_row(run: RunSummary) -> dict[str, Any]:
    standing, verdict = run.standing, run.verdict
    return {
        "suite": standing.suite,
        "run_id": run.path.name,
        "status": standing.status,
        "started": run.started,
        "commit": run.commit,
        "headline_eps": eps_text(standing.headline_eps),
        "seen": [vars(line) for line in run.seen],
        "models": [flat(place) for place in standing.places],
        "reference": verdict and {"verdict": verdict.word, "rows": len(verdict.rows), "changed": len(verdict.changes)},
    }


def _unusable_row(run: UnusableRun) -> dict[str, Any]:
    return {"suite": run.path.parent.name, "run_id": run.path.name, "status": "unusable", "reason": run.reason}


def _unusable(run: UnusableRun) -> tuple[RenderableType, ...]:
    return Text(f"{run.path.parent.name} {run.path.name}", style="bold"), Text(f"unusable: {run.reason}\n", style="bold red")


def _run_table(run: RunSummary) -> tuple[RenderableType, ...]:
    standing = run.standing
    heading = Text(f"{standing.suite} {run.path.name}", style="bold")
    status = Text(standing.status, style=STATUS_STYLE[standing.status])
    facts = Text.assemble(status, f", commit {run.commit or NONE}, {in_short(run.verdict)}")
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("#", justify="right")
    table.add_column("model", overflow="fold")
    table.add_column("clean acc. % [95 %]", justify="right")
    table.add_column(f"worst case % at {eps_text(standing.headline_eps)} [95 %]", justify="right")
    for m in standing.places:
        name = title(m.model, len({one.model.seed for one in standing.places}) > 1)
        table.add_row(str(m.rank or NONE), escape(name), percent(m.accuracy), percent(m.worst_case, m.trust))
    trust, _ = trust_in_short(standing.graded, standing.trust_cost)
    seen = seen_lines([*run.seen[:1], *(line for line in run.seen[1:] if line.assumed)])
    return heading, facts, *seen, table, Text(trust, style="dim")
