"""--format table: for people, on a terminal."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from bench.render.formats.format import Format

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bench.comparison.ranking import RankedRuns
    from bench.comparison.reproduction import Reproduction
    from bench.comparison.verdict import Verdict
    from bench.render.plain import Listing
    from bench.scoring.scorecard import Scorecard


def _run(card: "Scorecard") -> "Callable[[int], RenderableType]":
    from bench.render.table import leaderboard

    return lambda width: leaderboard(card, width)


def _verdict(verdict: "Verdict", every_row: bool) -> "Callable[[int], RenderableType]":
    from bench.render.verdict import verdict_table

    return lambda width: verdict_table(verdict, width, every_row=every_row)


def _runs(found: "RankedRuns") -> "Callable[[int], RenderableType]":
    from bench.render.ranking import runs_table

    return lambda width: runs_table(found, width)


def _reproduction(found: "Reproduction") -> "Callable[[int], RenderableType]":
    from bench.render.reproduction import reproduction_table

    return lambda width: reproduction_table(found, width)


def _listing(listing: "Listing") -> "Callable[[int], RenderableType]":
    from bench.render.listing import catalogue_table

    return lambda width: catalogue_table(listing, width)


TABLE = Format("table", _run, _verdict, _runs, _reproduction, _listing)
