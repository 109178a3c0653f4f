"""Figures of several panels that share an axis and a legend."""

from collections.abc import Sequence
from math import ceil

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLUMNS = 3
PANEL = (3.6, 3.0)
"""Width and height of one panel, in inches."""


def panels(count: int) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` panels in rows of at most COLUMNS."""
    columns = min(COLUMNS, count)
    rows = ceil(count / columns)
    figure = Figure(figsize=(PANEL[0] * columns + 1.6, PANEL[1] * rows + 0.6), layout="constrained")
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for unused in axes[count:]:
        unused.set_visible(False)
    return figure, list(axes[:count])


def finished(figure: Figure, axes: Sequence[Axes], ylabel: str) -> Figure:
    """``figure`` with what its panels share: the y axis' label and one legend."""
    for axis in axes:
        axis.grid(alpha=0.3)
    figure.supylabel(ylabel, size="medium")
    named = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(list(named.values()), list(named), loc="outside right upper", frameon=False)
    return figure
