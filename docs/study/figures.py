"""The study's figures 3 to 6: attack success and certainty over eps, of each model and attack, as SVG."""

from fractions import Fraction
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes

from bench.eps import eps_text
from bench.render.panels import HEIGHT, figure_of, styled, with_legend
from bench.scoring.rescored import Rate, Share
from docs.study.found import Found

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe and Ito's, which nobody confuses."""


def draw(found: Found, file: Path) -> None:
    """Write the figure of ``found`` to ``file``: the same bytes from the same numbers and matplotlib."""
    attacks = list(dict.fromkeys(r.attack for r in found.scored.rates))
    with styled(), rc_context({"svg.hashsalt": found.name, "svg.fonttype": "none"}):
        figure = figure_of(2, 2 * HEIGHT)
        grid = figure.subplots(2, len(attacks), squeeze=False)
        for row, what in zip(grid, ("ASR", "certainty"), strict=True):
            row[0].set_ylabel("share of samples" if what == "ASR" else "mean over samples")
            for axis, attack in zip(row, attacks, strict=True):
                _panel(axis, found, attack, what)
        with_legend(figure, list(grid.ravel()))
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join(line.rstrip() for line in lines) + "\n", encoding="utf-8")


def _panel(axis: Axes, found: Found, attack: str, what: str) -> None:
    for model, colour in zip(found.scored.models, COLOURS, strict=False):
        rates = sorted(
            (r for r in found.scored.rates if (r.model, r.attack) == (model.model, attack)),
            key=lambda r: r.eps,
        )
        known = {r.eps: share for r in rates if (share := _share(r, what)) is not None}
        if what == "certainty":
            known = {Fraction(0): model.certainty, **known}
        around = [[v.value - v.low for v in known.values()], [v.high - v.value for v in known.values()]]
        x, y = [float(eps) for eps in known], [v.value for v in known.values()]
        axis.errorbar(x, y, around, marker="o", ms=3, lw=1, capsize=2, color=colour, label=model.model)
        axis.set_xticks(x, [eps_text(eps) for eps in known])
    axis.set_title(f"{what} under {attack}")
    axis.set_ylim(0, 1)
    axis.grid(alpha=0.3, lw=0.5)
    axis.set_xlabel("eps")


def _share(rate: Rate, what: str) -> Share | None:
    return rate.asr if what == "ASR" else rate.certainty
