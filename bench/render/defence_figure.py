"""What defences gain: robust accuracy without them, against attacks unaware of them, and against all."""

from matplotlib.figure import Figure

from bench.eps import eps_text
from bench.render.panels import Width, figure_of, fitted, with_legend
from bench.scoring.scorecard import Scorecard

SHARES = (
    ("without", "without the defence", "#7f8790", "s"),
    ("naive", "naive attack", "#E69F00", "o"),
    ("adaptive", "adaptive attack", "#0072B2", "D"),
)
"""Field, name, colour and marker of each share."""


def defence_figure(card: Scorecard, width: Width) -> Figure:
    """Of each defended model of ``card`` the shares that were measured, with 95 % intervals."""
    figure = figure_of(width, 0.9 + 0.42 * len(card.defences))
    axis = figure.subplots()
    for i, (field, name, colour, marker) in enumerate(SHARES):
        found = [
            (at, getattr(d, field)) for at, d in enumerate(card.defences) if getattr(d, field) is not None
        ]
        values = [100 * p.value for _, p in found]
        error = [[100 * (p.value - p.low) for _, p in found], [100 * (p.high - p.value) for _, p in found]]
        at = [y + 0.22 * (i - 1) for y, _ in found]
        axis.errorbar(
            values, at, xerr=error, fmt=marker, color=colour, markersize=4, lw=1.2, capsize=2, label=name
        )
    axis.set_yticks(range(len(card.defences)), [fitted(card.title(d.model), width) for d in card.defences])
    axis.set_ylim(len(card.defences) - 0.5, -0.5)
    axis.set_xlim(-2, 102)
    axis.set_xlabel(f"robust accuracy at eps {eps_text(card.headline_eps)}, %")
    axis.grid(axis="x", alpha=0.3, lw=0.5)
    return with_legend(figure, [axis])
