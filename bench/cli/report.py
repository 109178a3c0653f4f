"""The commands that show a stored run to people: ``bench report`` and ``bench figures``."""

import argparse
import sys
from pathlib import Path

from bench.cli.output import write
from bench.errors import Exit, UserError


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add this module's commands to the parser."""
    report = commands.add_parser("report", help="a run as one HTML file", description="Write a run as one HTML file.")
    report.set_defaults(command=_report)
    report.add_argument("-o", "--output", type=Path, metavar="FILE", default=Path("report.html"), help="default: report.html")
    figures = commands.add_parser("figures", help="a run's figures", description="Draw a run's figures, each as PNG and SVG.")
    figures.set_defaults(command=_figures)
    figures.add_argument("-o", "--output", type=Path, metavar="DIR", default=Path("figures"), help="default: figures")
    for parser in (report, figures):
        parser.add_argument("run", metavar="RUN", help="a run's folder or id, or 'latest'")
        parser.add_argument("--results", type=Path, default=Path("results"), help="where runs are stored (default: results)")


def _report(options: argparse.Namespace) -> int:
    from bench.comparison.runs import against_reference, find_stored
    from bench.render.report import to_html
    from bench.scoring.scorecard import score

    run = find_stored(options.run, options.results)
    card = score(run)
    write(to_html(card, run.header, against_reference(run)), options.output)
    return Exit.OK if card.status == "complete" else Exit.INCOMPLETE


def _figures(options: argparse.Namespace) -> int:
    from bench.comparison.runs import find_stored
    from bench.render.figures import make_figures
    from bench.scoring.scorecard import score

    card = score(find_stored(options.run, options.results))
    figures = make_figures(card)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            for kind in ("png", "svg"):
                figure.savefig(options.output / f"{name}.{kind}", dpi=160)
    except OSError as error:
        raise UserError(f"{options.output}: cannot be written: {error.strerror}") from None
    print(f"drawn: {', '.join(figures) or 'nothing, since no cell has numbers'}", file=sys.stderr)  # noqa: T201
    return Exit.OK if card.status == "complete" else Exit.INCOMPLETE
