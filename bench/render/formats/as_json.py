"""--format json: everything, for programs. Its schemas are printed by ``bench schema --of``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.render.formats.format import Format

if TYPE_CHECKING:
    from bench.comparison.reproduction import Reproduction
    from bench.comparison.runs import RunSummary, UnusableRun
    from bench.comparison.verdict import Verdict
    from bench.scoring.scorecard import Scorecard


def _run(card: "Scorecard") -> str:
    from bench.render.text import to_json

    return to_json(card)


def _verdict(verdict: "Verdict", every_row: bool) -> str:  # noqa: ARG001 (it always has them all)
    from bench.render.verdict_text import verdict_json

    return verdict_json(verdict)


def _runs(runs: "Sequence[RunSummary | UnusableRun]") -> str:
    from bench.render.ranking import runs_json

    return runs_json(runs)


def _reproduction(found: "Reproduction") -> str:
    from bench.render.reproduction import reproduction_json

    return reproduction_json(found)


JSON = Format("json", _run, _verdict, _runs, _reproduction)
