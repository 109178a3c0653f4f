"""What defences gain, as a table, in words, and for other programs."""

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from bench.eps import eps_text
from bench.render.fitted import fitted
from bench.render.numbers import flat, percent
from bench.scoring.comparison import PairedDifference
from bench.scoring.defended import DefenceScore
from bench.scoring.scorecard import Scorecard
from bench.scoring.statistics import Proportion
from bench.text import NONE, interval, points

COLUMNS = ("model", "undefended", "naive\nattack", "adaptive\nattack", "gain\npoints", "passes")


def defences(card: Scorecard, width: int) -> Iterator[RenderableType]:
    """Each defended model without its defences, against attacks that do not know them, and against all.

    Then the same in words.
    """
    if not card.defences:
        return
    rows = [
        (
            card.title(d.model),
            *_shares(d),
            NONE if d.gain is None else points(d.gain.difference),
            str(d.passes),
        )
        for d in card.defences
    ]
    name = f"defences: robust accuracy at eps {eps_text(card.headline_eps)}, % [95 %]"
    yield fitted(name, COLUMNS, rows, width, right=COLUMNS[1:])
    yield from (Text(d.sentence) for d in card.defences)


def _shares(d: DefenceScore) -> list[str]:
    return [percent(d.without), _share(d.naive), _share(d.adaptive)]


def _share(share: Proportion | None) -> str:
    return NONE if share is None else percent(share)


def _gain(gain: PairedDifference | None) -> str:
    return NONE if gain is None else f"{points(gain.difference)} {interval(gain.low, gain.high)}"


HEAD = ("model", "undefended %", "naive attack %", "adaptive attack %", "gain, points [95 %]", "passes")
"""The columns of the table, for Markdown."""


def defence_rows(card: Scorecard) -> list[list[str]]:
    """The rows under HEAD."""
    return [[d.model.name, *_shares(d), _gain(d.gain), str(d.passes)] for d in card.defences]


def defence_json(d: DefenceScore) -> dict[str, Any]:
    """One defended model for other programs; shares from 0 to 1."""
    shares = {
        name: flat(getattr(d, name)) if getattr(d, name) else None
        for name in ("without", "naive", "adaptive")
    }
    gains = {name: _difference(getattr(d, name)) for name in ("clean", "naive_gain", "gain")}
    return {
        "model": d.model.name,
        "seed": d.model.seed,
        "defences": d.defences,
        "undefended": d.undefended.name,
        "members": d.members,
        "passes": d.passes,
        **shares,
        **gains,
        "sentence": d.sentence,
    }


def _difference(d: PairedDifference | None) -> dict[str, Any] | None:
    return None if d is None else {**flat(d), "shown": d.shown}
