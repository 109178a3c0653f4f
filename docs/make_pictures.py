"""Draws the pictures of the README from a stored run: `python docs/make_pictures.py RUN`.

Each is made twice, for light and for dark pages: the head of the leaderboard, and robust accuracy over eps.
"""

import re
import sys
from io import StringIO
from pathlib import Path

import matplotlib.pyplot as plt
from rich.console import Console
from rich.segment import Segments
from rich.terminal_theme import DIMMED_MONOKAI, TerminalTheme

import bench
from bench.render import leaderboard
from bench.render.figures import make_figures

IMAGES = Path(__file__).parent / "images"
WIDTH = 80
SHOWN_DIFFERENCES = 3
LIGHT = TerminalTheme(
    (255, 255, 255), (31, 35, 40),
    [(36, 41, 47), (207, 34, 46), (17, 99, 41), (77, 45, 0),
     (9, 105, 218), (130, 80, 223), (27, 124, 131), (110, 119, 129)],
)  # fmt: skip
"""GitHub's light page, and its colours of a terminal."""


def head(result: bench.Result) -> Segments:
    """The leaderboard down to the first differences."""
    console = Console(width=WIDTH, file=StringIO())
    lines = console.render_lines(leaderboard(result.card, WIDTH), pad=False, new_lines=True)
    bullets = [i for i, line in enumerate(lines) if line and line[0].text.startswith("•")]
    return Segments(segment for line in lines[: bullets[SHOWN_DIFFERENCES]] for segment in line)


def draw_leaderboard(result: bench.Result, theme: TerminalTheme, file: Path) -> None:
    """The head of the leaderboard as an SVG that loads no font from elsewhere."""
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    console.print(head(result))
    svg = console.export_svg(title="bench run suites/fgsm_pgd.yaml", theme=theme)
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace(
        "Fira Code, monospace", "ui-monospace, monospace"
    )
    file.write_text(re.sub(r"[ \t]+\n", "\n", svg), encoding="utf-8")


def draw_curves(result: bench.Result, style: str, file: Path) -> None:
    """Robust accuracy of each model over eps."""
    with plt.style.context(style), plt.rc_context({"svg.hashsalt": "curves", "svg.fonttype": "none"}):
        figure = make_figures(result.card)["security_curves"]
        figure.savefig(file, metadata={"Date": None}, transparent=True)


def main() -> None:
    """Draw them all."""
    result = bench.load(sys.argv[1])
    IMAGES.mkdir(exist_ok=True)
    for name, theme, style in (("light", LIGHT, "default"), ("dark", DIMMED_MONOKAI, "dark_background")):
        draw_leaderboard(result, theme, IMAGES / f"leaderboard-{name}.svg")
        draw_curves(result, style, IMAGES / f"curves-{name}.svg")


if __name__ == "__main__":
    main()
