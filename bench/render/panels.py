"""Figures as journals set them, one or two columns wide, of several panels with a shared axis and legend."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from math import ceil
from textwrap import wrap
from typing import Literal

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Width = Literal[1, 2]
"""How many columns of a page a figure is wide."""
INCHES: dict[Width, float] = {1: 3.3, 2: 6.9}
ABREAST: dict[Width, int] = {1: 1, 2: 3}
"""Panels in a row at most."""
STACKED = 3
"""Panels that one column has below one another.

Of more that share their y axis, two are abreast, or no page is high enough.
"""
HEIGHT, LINE = 2.1, 0.16
"""Inches of a panel, and of a line of the legend."""
ROOM: dict[Width, int] = {1: 26, 2: 44}
"""Letters to a line of a name at most."""
TITLE: dict[Width, int] = {1: 17, 2: 26}
"""Letters to a line of a panel's title at most, where as many are abreast as can be."""
LETTERS, HANDLE = 15, 6
"""Letters of a legend to an inch, and as how many its lines count."""


def styled() -> AbstractContextManager[None]:
    """The style in which figures are made and saved; type 42 are the fonts that publishers take in a PDF."""
    return rc_context({
        "text.parse_math": False,  # a name with $ in it is not a formula
        "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "xtick.labelsize": 7, "ytick.labelsize": 7,
        "legend.fontsize": 7, "axes.linewidth": 0.6, "pdf.fonttype": 42,
    })  # fmt: skip


def fitted(text: str, width: Width) -> str:
    """``text`` in lines that leave a figure room beside them."""
    return "\n".join(wrap(text, ROOM[width])) or text


def titled(axis: Axes, text: str, width: Width) -> None:
    """Give ``axis`` the title ``text``, in lines that leave its neighbours' room alone."""
    axis.set_title("\n".join(wrap(text, TITLE[width])) or text)


def figure_of(width: Width, height: float) -> Figure:
    """An empty figure, ``height`` inches high."""
    return Figure(figsize=(INCHES[width], height), layout="constrained")


def panels(
    count: int, width: Width, height: float = HEIGHT, *, sharey: bool = True
) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` panels, each ``height`` inches high."""
    columns = min(2 if width == 1 and sharey and count > STACKED else ABREAST[width], count)
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
    named = {
        label: handle
        for axis in axes
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    width, height = figure.get_size_inches()
    letters = int(width * LETTERS)
    labels = ["\n".join(wrap(label, letters - HANDLE)) for label in named]
    longest = max((len(line) for label in labels for line in label.splitlines()), default=0)
    columns = max(1, min(len(labels), letters // (longest + HANDLE)))
    deepest = max((label.count("\n") + 1 for label in labels), default=0)
    figure.set_size_inches(width, height + LINE * deepest * ceil(len(labels) / columns) + 0.1)
    figure.legend(list(named.values()), labels, loc="outside lower center", ncols=columns, frameon=False)
    return figure
