"""What each model takes each class for under its strongest attack: a matrix a model."""

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from bench.eps import eps_text
from bench.render.panels import ABREAST, INCHES, Width, fitted, panels
from bench.scoring.classes import ClassScores
from bench.scoring.scorecard import Scorecard

COUNTED = 10
"""Classes up to which a field has its count written in it."""
SHORT = 3
"""Letters up to which a class name stands upright below its column."""
LARGEST = 2.4
"""Inches of a matrix at most."""
SHADES = LinearSegmentedColormap.from_list("shades", [(0, 0.45, 0.7, 0.0), (0, 0.45, 0.7, 0.65)])
"""From nothing to half blue: what is written on it is read in black and in white."""


def confusion(card: Scorecard, width: Width) -> Figure:
    """The counts of ``card``'s strongest cells, shaded by the share of the true class."""
    found = [scores for scores in card.classes if scores.strongest]
    across = min(ABREAST[width], len(found))
    figure, axes = panels(len(found), width, min(INCHES[width] / across, LARGEST), sharey=False)
    for axis, scores in zip(axes, found, strict=True):
        _draw(axis, scores)
        axis.set_title(fitted(f"{card.title(scores.model)}: {scores.attack} {eps_text(scores.eps)}", 1))
    figure.supylabel("class", size="medium")
    figure.supxlabel("taken for", size="medium")
    return figure


def _draw(axis: Axes, scores: ClassScores) -> None:
    counts = [list(c.attacked) for c in scores.classes]
    shares = [[count / max(c.robust_accuracy.n, 1) for count in c.attacked] for c in scores.classes]
    names = [fitted(c.name, 1) for c in scores.classes]
    axis.pcolormesh(shares, cmap=SHADES, vmin=0, vmax=1, edgecolors="face", lw=0)
    at = [i + 0.5 for i in range(len(names))]
    axis.set_xticks(at, names, rotation=90 if max(map(len, names)) > SHORT else 0)
    axis.set_yticks(at, names)
    axis.tick_params(length=0)
    axis.invert_yaxis()
    axis.set_aspect("equal")
    for y, row in enumerate(counts if len(names) <= COUNTED else ()):
        for x, count in enumerate(row):
            if count:
                axis.text(x + 0.5, y + 0.5, str(count), ha="center", va="center", fontsize=7)
