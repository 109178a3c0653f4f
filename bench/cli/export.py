"""The command ``bench export``, and the option --export of ``bench run``."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import Exit, UserError
from bench.render.output import note

if TYPE_CHECKING:
    from bench.api.result import Result

log = logging.getLogger(__name__)
OURS = "card, wandb, mlflow, or one that a package adds"


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    what = "Publish a stored run: as a model card, or to an experiment tracker."
    export = commands.add_parser(
        "export", help="a run as a model card, or to W&B or MLflow", description=what
    )
    export.set_defaults(command=_export)
    export.add_argument("run", metavar="RUN", help="a run's folder or id, or 'latest'")
    export.add_argument("--to", type=_known, required=True, metavar="EXPORTER", help=OURS)
    export.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="of a model card (default: model-card.md)"
    )
    export.add_argument(
        "--results", type=Path, default=Path("results"), help="where runs are stored (default: results)"
    )


def add_option(run: argparse.ArgumentParser) -> None:
    """Add --export to ``run``."""
    run.add_argument(
        "--export", type=_known, action="append", default=[], metavar="EXPORTER",
        help=f"once the run is stored, bring it there: {OURS}; if that fails, it is said, and nothing else"
        " changes",
    )  # fmt: skip


def export_all(result: "Result", names: list[str]) -> None:
    """Bring ``result`` out through each exporter; what fails is said, and the run stays what it is."""
    for name in names:
        try:
            note(f"exported: {result.export(name)}")
        except UserError as error:
            log.warning("--export %s", error)


def _known(name: str) -> str:
    from bench.api.exporters import exporter_of

    try:
        exporter_of(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return name


def _export(options: argparse.Namespace) -> int:
    from bench.api.calls import load

    result = load(options.run, results=options.results)
    note(f"exported: {result.export(options.to, options.output)}")
    return Exit.OK if result.is_complete else Exit.INCOMPLETE
