"""What an output format is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bench.comparison.ranking import RankedRuns
    from bench.comparison.reproduction import Reproduction
    from bench.comparison.verdict import Verdict
    from bench.render.plain import Listing
    from bench.scoring.scorecard import Scorecard


@dataclass(frozen=True)
class Format:
    """One way to show what the commands find, by the ``name`` that ``--format`` takes.

    What it cannot show is None.

    ``run`` shows a scored run, ``verdict`` a comparison (of every row, or of those in which a change is
    shown), ``runs`` the runs of a folder, ranked, ``reproduction`` a run that was made again, ``listing``
    what there is to use. Each gives text, or a function from a terminal's width to what rich draws. It
    imports what it needs when it is called.
    """

    name: str
    run: "Callable[[Scorecard], str | Callable[[int], RenderableType]] | None" = None
    verdict: "Callable[[Verdict, bool], str | Callable[[int], RenderableType]] | None" = None
    runs: "Callable[[RankedRuns], str | Callable[[int], RenderableType]] | None" = None
    reproduction: "Callable[[Reproduction], str | Callable[[int], RenderableType]] | None" = None
    listing: "Callable[[Listing], str | Callable[[int], RenderableType]] | None" = None
