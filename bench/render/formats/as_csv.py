"""--format csv: a line a cell, or a row of a comparison, for spreadsheets."""

from typing import TYPE_CHECKING

from bench.render.formats.format import Format

if TYPE_CHECKING:
    from bench.comparison.ranking import RankedRuns
    from bench.comparison.verdict import Verdict
    from bench.scoring.scorecard import Scorecard


def _run(card: "Scorecard") -> str:
    from bench.render.text import to_csv

    return to_csv(card)


def _verdict(verdict: "Verdict", every_row: bool) -> str:  # noqa: ARG001 (it always has them all)
    from bench.render.verdict_text import verdict_csv

    return verdict_csv(verdict)


def _runs(found: "RankedRuns") -> str:
    from bench.render.ranking import runs_csv

    return runs_csv(found)


CSV = Format("csv", _run, _verdict, _runs)
