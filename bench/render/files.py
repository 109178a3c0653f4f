"""A run's figures as files, for papers and slides."""

from pathlib import Path

from bench.render.figures import make_figures
from bench.render.panels import Width, styled
from bench.scoring.scorecard import Scorecard

KINDS = ("pdf", "svg", "png")
DPI = 300
"""Of the PNG: what journals ask of pictures with text."""


def save_figures(card: Scorecard, folder: Path, width: Width) -> list[Path]:
    """Draw the figures of ``card`` into ``folder``, each in every kind of file; returns their paths.

    Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, figure in make_figures(card, width).items():
        for kind in KINDS:
            drawn.append(folder / f"{name}.{kind}")
            with styled():
                figure.savefig(drawn[-1], dpi=DPI)
    return drawn
