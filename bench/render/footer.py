"""Under the leaderboard: what the trust checks found, the differences in words, and remarks on the run."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bench.render.fitted import fitted
from bench.scoring.flags import Flag
from bench.scoring.remarks import Kind
from bench.scoring.scorecard import Scorecard
from bench.scoring.sentences import Sentence
from bench.scoring.trust import Grade

LISTED = 16
"""Comparisons that are all printed; of more, only those that tell a model from the baseline."""
STYLE: dict[Grade | None, str] = {
    None: "", "pass": "green", "unchecked": "yellow", "warn": "yellow", "fail": "bold red"
}  # fmt: skip


def remarks(card: Scorecard, *kinds: Kind) -> Iterator[Text]:
    """The remarks of these ``kinds``, a line each."""
    yield from (Text(remark.text, style=STYLE[remark.grade]) for remark in card.remarks_on(*kinds))


def differences(card: Scorecard) -> Iterator[Table | Text]:
    """The sentences, and how they were tested; of many, only those that tell a model from the baseline."""
    said = card.sentences
    if not said:
        return
    listed = said if len(said) <= LISTED else [s for s in said if s.shown and s.from_baseline]
    yield Text("differences, paired by sample", style="italic")
    if listed:
        table = Table.grid(padding=(0, 1))
        for sentence in listed:
            table.add_row("•", Text(sentence.text))
        yield table
    if len(listed) < len(said):
        yield Text(f"{'and ' if listed else ''}{_unlisted(said, len(listed))}: --format md lists them")
    yield Text(card.method, style="dim")


def _unlisted(said: Sequence[Sentence], listed: int) -> str:
    """67 comparisons that show no difference, 24 between other models."""
    unshown = sum(not s.shown for s in said)
    others = len(said) - unshown - listed
    return (
        f"{unshown} comparisons that show no difference{f', {others} between other models' if others else ''}"
    )


def trust(card: Scorecard, width: int) -> Iterator[RenderableType]:
    """What was flagged, one check a line, and which models cannot rank for it; or that nothing was."""
    if card.flags:
        yield _flagged(card.flags, width)
    yield from remarks(card, "unranked", "trust")


FLAGGED = ("check", "grade", "where", "cells", "first finding")


def _flagged(flagged: Sequence[Flag], width: int) -> RenderableType:
    rows = [(f.check, Text(f.grade, style=STYLE[f.grade]), f.where, str(f.cells), f.detail) for f in flagged]
    return fitted("trust: what the checks flagged", FLAGGED, rows, width, right=("cells",))
