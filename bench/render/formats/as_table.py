"""--format table: for people, on a terminal."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bench.render.formats.format import Format

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bench.comparison.reproduction import Reproduction
    from bench.comparison.runs import RunSummary, UnusableRun
    from bench.comparison.verdict import Verdict
    from bench.scoring.scorecard import Scorecard


def _run(card: "Scorecard") -> "Callable[[int], RenderableType]":
    from bench.render.table import leaderboard

    return lambda width: leaderboard(card, width)


def _verdict(verdict: "Verdict", every_row: bool) -> "Callable[[int], RenderableType]":
    from bench.render.verdict import verdict_table

    return lambda _: verdict_table(verdict, every_row=every_row)


def _runs(runs: "Sequence[RunSummary | UnusableRun]") -> "Callable[[int], RenderableType]":
    from bench.render.ranking import runs_table

    return lambda _: runs_table(runs)


def _reproduction(found: "Reproduction") -> "Callable[[int], RenderableType]":
    from bench.render.reproduction import reproduction_table

    return lambda _: reproduction_table(found)


TABLE = Format("table", _run, _verdict, _runs, _reproduction)
