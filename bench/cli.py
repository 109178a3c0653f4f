"""The command line: parses, calls, prints. Heavy imports stand inside the commands."""

import argparse
import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from adapters.errors import ModelError
from bench import __version__
from bench.errors import Exit, UserError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

FORMATS = ("table", "json", "csv", "md")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``bench`` and return its exit code."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    _quiet()
    try:
        return command(options)
    except (UserError, ModelError) as error:
        print(f"bench: {error}", file=sys.stderr)  # noqa: T201
        return Exit.USAGE
    except KeyboardInterrupt:
        print("bench: interrupted; the same command goes on from the last finished unit", file=sys.stderr)  # noqa: T201
        return Exit.INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader has left; there is nobody to tell
        return Exit.OK


def _quiet() -> None:
    """Our own log goes to stderr, the libraries' chatter does not."""
    logging.basicConfig(level=logging.WARNING, format="bench: %(message)s", stream=sys.stderr)
    for library in ("art", "foolbox", "peft", "transformers", "torch"):
        logging.getLogger(library).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(foolbox|art|eagerpy|torch|peft|transformers)(\.|$)")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Did adapting this model with LoRA change how robust it is, and can I trust that number?",
    )
    parser.add_argument("--version", action="version", version=f"bench {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_run(commands)
    compare = _command(commands, "compare", _compare, "rank the runs of a results folder")
    compare.add_argument("path", metavar="PATH", type=Path, help="a results folder")
    listing = _command(commands, "list", _list, "what there is: suites, models, attacks, data, libraries")
    listing.add_argument("what", choices=("suites", "models", "attacks", "data", "libraries"))
    _command(commands, "schema", _schema, "print the JSON schema of suites")
    _command(commands, "doctor", _doctor, "versions, device, cache, and what is missing")
    return parser


def _add_run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    run = _command(commands, "run", _run, "run a suite and print its leaderboard")
    run.add_argument("suite", metavar="SUITE", help="a suite's YAML file, or the name of a shipped one")
    run.add_argument("--results", type=Path, default=Path("results"), help="where runs are stored (default: results)")
    run.add_argument("--only", default="*", metavar="GLOB", help="only units that match, as model/seed/attack/library")
    run.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    run.add_argument("--data-root", type=Path, metavar="DIR", help="where data sets lie (default: $BENCH_DATA, or the cache)")
    run.add_argument("--fresh", action="store_true", help="compute every cell anew")
    run.add_argument("--dry-run", action="store_true", help="show what would be run, and run nothing")
    run.add_argument("--format", choices=FORMATS, default="table")
    run.add_argument("-o", "--output", type=Path, metavar="FILE", help="write there instead of to stdout")


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    function: Callable[[argparse.Namespace], int],
    help_text: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=help_text, description=help_text[0].upper() + help_text[1:] + ".")
    parser.set_defaults(command=function)
    return parser


def _run(options: argparse.Namespace) -> int:
    from rich.console import Console

    from bench import pipeline
    from bench.progress import Progress
    from bench.suite import find_suite, load_suite

    suite = load_suite(find_suite(options.suite))
    device = pipeline.choose_device(options.device)
    how = pipeline.Options(options.results, device, options.only, options.fresh, data_root=options.data_root)
    if options.dry_run:
        from bench.preview import preview
        from bench.render.listing import preview_table

        units = preview(suite, how)
        _print(lambda _: preview_table(units))
        return Exit.OK
    run = pipeline.run_suite(suite, how, Progress(Console(stderr=True)))
    return _show_run(run.path, options)


def _show_run(path: Path, options: argparse.Namespace) -> int:
    from bench import render
    from bench.scoring.scorecard import score
    from bench.store import StoredRun

    card = score(StoredRun(path))
    if options.format == "table":
        _print(lambda console: render.leaderboard(card, console.width), options.output)
    else:
        _write(
            {"json": render.to_json, "csv": render.to_csv, "md": render.to_markdown}[options.format](card),
            options.output,
        )
    print(f"stored: {path}", file=sys.stderr)  # noqa: T201
    return Exit.OK if card.status == "complete" else Exit.INCOMPLETE


def _print(make: "Callable[[Console], RenderableType]", output: Path | None = None) -> None:
    """Print what ``make`` gives for the console: standard output, or the file ``output``."""
    from rich.console import Console

    if output is None:
        console = Console()
        console.print(make(console))
        return
    with _open(output) as file:
        console = Console(file=file, width=140)
        console.print(make(console))


def _write(text: str, output: Path | None = None) -> None:
    if output is None:
        print(text)  # noqa: T201
        return
    with _open(output) as file:
        file.write(text + "\n")


def _open(output: Path) -> TextIO:
    try:
        return output.open("w", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{output}: cannot be written: {error.strerror}") from None


def _compare(options: argparse.Namespace) -> int:
    from bench.compare import summaries
    from bench.render.listing import runs_table

    runs = summaries(options.path)
    _print(lambda _: runs_table(runs))
    return Exit.OK if all(run.card.status == "complete" for run in runs) else Exit.INCOMPLETE


def _list(options: argparse.Namespace) -> int:
    from bench.catalogue import CATALOGUE
    from bench.render.listing import catalogue_table

    listing = CATALOGUE[options.what]()
    _print(lambda _: catalogue_table(listing))
    return Exit.OK


def _schema(options: argparse.Namespace) -> int:  # noqa: ARG001
    from bench.suite import schema_text

    _write(schema_text().rstrip("\n"))
    return Exit.OK


def _doctor(options: argparse.Namespace) -> int:  # noqa: ARG001
    from bench.doctor import examine
    from bench.render.listing import doctor_table

    findings = examine()
    _print(lambda _: doctor_table(findings))
    return Exit.OK if all(f.status != "missing" for f in findings) else Exit.INCOMPLETE
