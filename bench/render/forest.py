"""Differences in robust accuracy of two models, paired by sample, as a forest plot: a line each, by pair."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.eps import eps_text
from bench.render.panels import Width, figure_of, fitted, with_legend
from bench.scoring.comparison import Comparison
from bench.scoring.scorecard import Scorecard
from bench.text import interval, points

LISTED = 15
"""Pairs that are all drawn; of more, only those with the baseline."""
MORE, LESS, OPEN = "#0072B2", "#D55E00", "#7f8790"
ROW = 0.17
"""Inches of a line."""


@dataclass(frozen=True)
class Row:
    """A difference in points with its 95 % interval, and whether it stands after correction."""

    pair: str
    where: str
    difference: float
    low: float
    high: float
    shown: bool

    @property
    def text(self) -> str:
        """-16.7 [-24.2, -9.0]."""
        return f"{points(self.difference / 100)} {interval(self.low / 100, self.high / 100)}"


def rows(card: Scorecard) -> dict[str, list[Row]]:
    """By pair, the differences at the headline eps: in the worst case, and under each attack.

    Over seeds, the former alone.
    """
    found: dict[str, list[Row]] = defaultdict(list)
    of_baseline: set[str] = set()
    for row, baseline in _over_seeds(card) if card.seeds else _alone(card):
        found[row.pair].append(row)
        of_baseline |= {row.pair} if baseline == card.baseline else set()
    return (
        dict(found)
        if len(found) <= LISTED
        else {pair: own for pair, own in found.items() if pair in of_baseline}
    )


def _alone(card: Scorecard) -> Iterator[tuple[Row, str]]:
    for c in (*card.headline, *card.comparisons):
        if c.eps == card.headline_eps and c.robust.n:
            d = c.robust
            where = f"{c.attack} {eps_text(c.eps)}"
            yield Row(_pair(c), where, 100 * d.difference, 100 * d.low, 100 * d.high, d.shown), c.second.name


def _over_seeds(card: Scorecard) -> Iterator[tuple[Row, str]]:
    for c in card.claims:
        if c.quantity == "robust accuracy":
            pair, where = f"{c.model} vs {c.baseline}", f"{c.attack} {eps_text(c.eps)}"
            yield Row(pair, where, 100 * c.difference, 100 * c.low, 100 * c.high, c.shown), c.baseline


def _pair(c: Comparison) -> str:
    seeds = bool(c.first.seed or c.second.seed) or c.first.name == c.second.name
    return f"{c.first.title(seeds=seeds)} vs {c.second.title(seeds=seeds)}"


def forest(card: Scorecard, width: Width) -> Figure:
    """The plot of ``rows``: filled where a difference is shown after correction, hollow where none is."""
    pairs = rows(card)
    listed: list[Row | str] = []
    for pair, own in pairs.items():
        listed += [pair, *own]
    labels = [fitted(one.where if isinstance(one, Row) else one, width) for one in listed]
    below = list(accumulate(label.count("\n") + 1 for label in labels))
    figure = figure_of(width, 0.7 + ROW * below[-1])
    axis = figure.subplots()
    axis.axvline(0, color="black", lw=0.7)
    at = [end - (label.count("\n") + 1) / 2 for end, label in zip(below, labels, strict=True)]
    axis.set_yticks(at, labels)
    for y, one, tick in zip(at, listed, axis.get_yticklabels(), strict=True):
        if isinstance(one, Row):
            _draw(axis, one, y, numbers=width == 2)
        else:
            tick.set_fontweight("bold")
    axis.set_ylim(below[-1] + 0.1, -0.1)
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel("Δ robust accuracy, points")
    axis.grid(axis="x", alpha=0.3, lw=0.5)
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)
    return with_legend(figure, [axis])


def _draw(axis: Axes, row: Row, at: float, *, numbers: bool) -> None:
    colour = (MORE if row.difference > 0 else LESS) if row.shown else OPEN
    label = ("more robust" if row.difference > 0 else "less robust") if row.shown else "no difference shown"
    error = [[row.difference - row.low], [row.high - row.difference]]
    axis.errorbar(
        [row.difference], [at], xerr=error, fmt="o", color=colour, mfc=colour if row.shown else "none",
        ms=4, lw=1.2, capsize=2, label=label,
    )  # fmt: skip
    if numbers:
        axis.text(1.01, at, row.text, transform=axis.get_yaxis_transform(), va="center", fontsize=7)
