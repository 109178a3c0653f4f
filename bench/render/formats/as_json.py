"""--format json: everything, for programs. Its schemas are printed by ``bench schema --of``."""

from typing import TYPE_CHECKING

from bench.render.formats.format import Format

if TYPE_CHECKING:
    from bench.comparison.ranking import RankedRuns
    from bench.comparison.reproduction import Reproduction
    from bench.comparison.verdict import Verdict
    from bench.render.plain import Listing
    from bench.scoring.scorecard import Scorecard


def _run(card: "Scorecard") -> str:
    from bench.render.text import to_json

    return to_json(card)


def _verdict(verdict: "Verdict", every_row: bool) -> str:  # noqa: ARG001 (it always has them all)
    from bench.render.verdict_text import verdict_json

    return verdict_json(verdict)


def _runs(found: "RankedRuns") -> str:
    from bench.render.ranking import runs_json

    return runs_json(found)


def _reproduction(found: "Reproduction") -> str:
    from bench.render.reproduction import reproduction_json

    return reproduction_json(found)


def _listing(listing: "Listing") -> str:
    from bench.render.listing import listing_json

    return listing_json(listing)


JSON = Format("json", _run, _verdict, _runs, _reproduction, _listing)
