"""The commands that show a stored run to people: ``bench report`` and ``bench figures``."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import Exit
from bench.render.output import note

if TYPE_CHECKING:
    from bench.api.result import Result


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add this module's commands to the parser."""
    report = commands.add_parser(
        "report", help="a run as one HTML file", description="Write a run as one HTML file."
    )
    report.set_defaults(command=_report)
    report.add_argument(
        "-o", "--output", type=Path, metavar="FILE", default=Path("report.html"), help="default: report.html"
    )
    what = "Draw a run's figures, each as PDF, SVG and PNG."
    figures = commands.add_parser("figures", help="a run's figures", description=what)
    figures.set_defaults(command=_figures)
    figures.add_argument(
        "-o", "--output", type=Path, metavar="DIR", default=Path("figures"), help="default: figures"
    )
    figures.add_argument(
        "--width",
        type=int,
        choices=(1, 2),
        default=2,
        help="columns of a page: 1 is 3.3 inches, 2 are 6.9 (default: 2)",
    )
    figures.add_argument("--list", action="store_true", help="only list the figures that the run has")
    for parser in (report, figures):
        parser.add_argument("run", metavar="RUN", help="a run's folder or id, or 'latest'")
        parser.add_argument(
            "--results", type=Path, default=Path("results"), help="where runs are stored (default: results)"
        )


def _report(options: argparse.Namespace) -> int:
    from bench.api.calls import load

    result = load(options.run, results=options.results)
    result.report(options.output)
    return Exit.OK if result.is_complete else Exit.INCOMPLETE


def _figures(options: argparse.Namespace) -> int:
    from bench.api.calls import load

    result = load(options.run, results=options.results)
    if options.list:
        return _list(result)
    names = dict.fromkeys(file.stem for file in result.figures(options.output, width=options.width))
    note(f"drawn: {', '.join(names) or 'nothing, since no cell has numbers'}")
    return Exit.OK if result.is_complete else Exit.INCOMPLETE


def _list(result: "Result") -> int:
    """The figures that the run has, one a line."""
    from bench.render.figures import captions

    found = captions(result.card)
    widest = max(map(len, found), default=0)
    for name, caption in found.items():
        print(f"{name:<{widest}}  {caption}")  # noqa: T201
    return Exit.OK if result.is_complete else Exit.INCOMPLETE
