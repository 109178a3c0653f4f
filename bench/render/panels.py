"""Figures as journals set them, one or two columns wide, of several panels that share an axis and a legend."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from math import ceil
from typing import Literal

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Width = Literal[1, 2]
"""How many columns of a page a figure is wide."""
INCHES: dict[Width, float] = {1: 3.3, 2: 6.9}
ABREAST: dict[Width, int] = {1: 1, 2: 3}
"""Panels in a row at most."""
HEIGHT, LINE = 2.1, 0.16
"""Inches of a panel, and of a line of the legend."""
LETTERS = 15
"""Letters of a legend to an inch."""


def styled() -> AbstractContextManager[None]:
    """The style in which figures are made and saved; type 42 are the fonts that publishers take in a PDF."""
    return rc_context({
        "text.parse_math": False,  # a name with $ in it is no formula
        "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "xtick.labelsize": 7, "ytick.labelsize": 7,
        "legend.fontsize": 7, "axes.linewidth": 0.6, "pdf.fonttype": 42,
    })  # fmt: skip


def figure_of(width: Width, height: float) -> Figure:
    """An empty figure, ``height`` inches high."""
    return Figure(figsize=(INCHES[width], height), layout="constrained")


def panels(count: int, width: Width, height: float = HEIGHT, *, sharey: bool = True) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` panels, each ``height`` inches high."""
    columns = min(ABREAST[width], count)
    rows = ceil(count / columns)
    figure = figure_of(width, height * rows)
    axes = figure.subplots(rows, columns, sharey=sharey, squeeze=False).ravel()
    for unused in axes[count:]:
        unused.set_visible(False)
    return figure, list(axes[:count])


def finished(figure: Figure, axes: Sequence[Axes], ylabel: str) -> Figure:
    """``figure`` with what its panels share: the y axis' label and one legend below."""
    for axis in axes:
        axis.grid(alpha=0.3, lw=0.5)
    figure.supylabel(ylabel, size="medium")
    return with_legend(figure, axes)


def with_legend(figure: Figure, axes: Sequence[Axes]) -> Figure:
    """``figure`` with one legend below, for which it becomes higher."""
    named = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    width, height = figure.get_size_inches()
    longest = max(map(len, named), default=0)
    columns = max(1, min(len(named), int(width * LETTERS / (longest + 6))))
    figure.set_size_inches(width, height + LINE * ceil(len(named) / columns) + 0.1)
    figure.legend(list(named.values()), list(named), loc="outside lower center", ncols=columns, frameon=False)
    return figure
