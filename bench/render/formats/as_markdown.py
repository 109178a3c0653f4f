"""--format md: for pull requests and reports."""

from typing import TYPE_CHECKING

from bench.render.formats.format import Format

if TYPE_CHECKING:
    from bench.comparison.ranking import RankedRuns
    from bench.comparison.verdict import Verdict
    from bench.scoring.scorecard import Scorecard


def _run(card: "Scorecard") -> str:
    from bench.render.text import to_markdown

    return to_markdown(card)


def _verdict(verdict: "Verdict", every_row: bool) -> str:
    from bench.render.verdict_text import verdict_markdown

    return verdict_markdown(verdict, every_row=every_row)


def _runs(found: "RankedRuns") -> str:
    from bench.render.ranking import runs_markdown

    return runs_markdown(found)


MARKDOWN = Format("md", _run, _verdict, _runs)
