"""Confidence, distance and security curves as rows of tables; libraries with the same numbers share a row."""

from collections.abc import Iterator

from bench.render.alike import alike, joined
from bench.scoring.metrics import Metrics
from bench.scoring.scorecard import CurveScore, Scorecard
from bench.text import NONE, number

CONFIDENCE = (
    "certainty, broken samples", "certainty, held samples", "true class", "calibration error",
    "confident errors", "distance",
)  # fmt: skip
CURVES = ("norm", "area", "median distance")
Row = tuple[list[str], list[str]]
"""Model, attack and libraries; then the numbers."""


def confidence_rows(card: Scorecard) -> Iterator[Row]:
    """The cells at the headline eps: numbers before → under attack, and how far the broken samples lie."""
    cells = [c for c in card.cells if c.metrics and c.entry.eps == card.headline_eps]
    for same in alike(cells, lambda c: (c.entry.id.model, c.entry.attack, c.metrics)):
        e, numbers = same[0].entry, same[0].metrics
        assert numbers is not None  # noqa: S101 (chosen so)
        names = [card.title(e.id.model), e.attack, joined(c.entry.library for c in same)]
        yield names, _confidence(numbers, e.norm)


def _confidence(m: Metrics, norm: str) -> list[str]:
    pairs = (
        (m.certainty_broken, m.certainty_broken_adv), (m.certainty_held, m.certainty_held_adv),
        (m.prob_true, m.prob_true_adv), (m.ece, m.ece_adv), (m.confident_errors, m.confident_errors_adv),
    )  # fmt: skip
    moved = NONE if norm not in m.distances else number(m.distances[norm].median)
    return [
        *(NONE if before is None else f"{number(before)} → {number(after)}" for before, after in pairs),
        moved,
    ]


def curve_rows(card: Scorecard) -> Iterator[Row]:
    """The security curve of each model under each attack."""

    def what(c: CurveScore) -> tuple[object, ...]:
        return c.model, c.attack, c.norm, c.curve

    for same in alike(card.curves, what):
        first = same[0]
        names = [card.title(first.model), first.attack, joined(c.library for c in same)]
        yield names, [first.norm, number(first.curve.area), number(first.curve.median)]
