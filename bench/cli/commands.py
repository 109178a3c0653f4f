"""The command line: parses, calls, prints. Heavy imports stand inside the commands."""

import argparse
import errno
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import bench.cli.compare as cli_compare
import bench.cli.export as cli_export
import bench.cli.report as cli_report
from adapters.errors import ChangedError, ModelError
from bench.cli.formats import add_format
from bench.cli.parser import Parser, add_loudness
from bench.engine.interrupt import Interrupted
from bench.engine.logs import quiet, set_level
from bench.errors import Exit, UserError
from bench.loading import uncollected
from bench.render.output import harmless, note, present
from bench.render.output import show as _print
from bench.render.output import write as _write
from bench.store.atomic import RESUME
from bench.version import __version__

if TYPE_CHECKING:
    from bench.engine.options import Options

DOCUMENTS = ("suite", "leaderboard", "verdict", "runs", "reproduction", "listing", "run", "published")
EXECUTOR = (
    "where to train and attack: on this machine, or in tasks on the Ray cluster at $RAY_ADDRESS (default: one"
    " started on this machine); its nodes share --results, $BENCH_CACHE and --data-root, and a task takes a"
    " GPU, or a core"
)
SUITE = "a suite's YAML file, or the name of a shipped one"
WEIGHTS_OF = "train nothing: take the weights kept beside a reference (a file; 'reference': the suite's own)"
WORKERS = "worker processes, of one thread each (default: as many as cores are free); no result depends on it"
GOES_ON = "what is finished is stored; the same command goes on from there"
FRESH_STARTS_OVER = (
    "what is finished is stored: leave out --fresh to go on from there (what earlier runs have is then"
    " taken over); with --fresh every cell is recomputed"
)
UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``bench`` and return its exit code."""
    options = _parse(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    quiet(_log())
    set_level(options.level)
    if getattr(options, "device", None) == "cpu":
        # Where torch sees a GPU, no process that computes gradients can be forked from one that has.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        return command(options)
    except UserError as error:
        return _fail(str(error).replace(RESUME, _how_to_go_on(options, RESUME)), error.exit_code)
    except ChangedError as error:
        return _fail(str(error), Exit.INCOMPLETE)
    except ModelError as error:
        return _fail(str(error), Exit.USAGE)
    except Interrupted as stop:
        return _fail(f"interrupted ({stop}); {_how_to_go_on(options, GOES_ON)}", stop.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", Exit.INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # the reader has left; there is nobody to tell
        return Exit.OK
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        resume = _how_to_go_on(options, RESUME)
        return _fail(f"{error.filename}: cannot be written: {error.strerror}; {resume}", Exit.INCOMPLETE)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options in ``arguments``.

    Exits as argparse does; a ``bench run`` that it refuses is noted, for the gate to know.
    """
    try:
        parser = _parser()
        if "_ARGCOMPLETE" in os.environ:  # a shell asks
            from bench.cli.completion import complete

            complete(parser)
        return parser.parse_args(arguments)
    except SystemExit as stop:
        given = list(sys.argv[1:] if arguments is None else arguments)
        if stop.code == Exit.USAGE and given[:1] == ["run"]:
            from bench.store import refused

            refused(_results_in(given), "the command line", "its options were refused")
        raise


def _results_in(given: Sequence[str]) -> Path:
    """The folder of --results in options that cannot be read as a whole."""
    found = "results"
    for option, value in zip(given, [*given[1:], found], strict=True):
        found = (
            value
            if option == "--results"
            else option.removeprefix("--results=")
            if "--results=" in option
            else found
        )
    return Path(found)


def _how_to_go_on(options: argparse.Namespace, usually: str) -> str:
    """``usually``, but where the same command would not go on from what is stored."""
    if options.command is _reproduce:
        return "nothing of it is kept but trained models: the same command starts over"
    return FRESH_STARTS_OVER if getattr(options, "fresh", False) else usually


def _fail(message: str, code: int) -> int:
    """Print ``message`` with whatever could steer the terminal made visible; returns ``code``."""
    print(f"bench: {harmless(message)}", file=sys.stderr)  # noqa: T201
    return code


def _log() -> logging.Handler:
    """Our log on stderr."""
    handler = _OnStderr()
    handler.setFormatter(_Formatter("bench: %(message)s"))
    return handler


class _OnStderr(logging.Handler):
    """Writes to what stderr is at that moment.

    While bars are shown, that prints above them instead of through them.
    """

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(self.format(record) + "\n")


class _Formatter(logging.Formatter):
    """A log that cannot steer the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return harmless(super().format(record))


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = Parser(
        prog="bench",
        description="Did adapting this model with LoRA change how robust it is, and can I trust that number?",
    )
    parser.add_argument("--version", action="version", version=f"bench {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_train(commands)
    _add_reproduce(commands)
    cli_compare.add_commands(commands)
    cli_report.add_commands(commands)
    cli_export.add_command(commands)
    listing = _command(commands, "list", _list, "what there is: suites, models, attacks, data, libraries")
    listing.add_argument("what", choices=("suites", "models", "attacks", "defences", "data", "libraries"))
    add_format(listing, "listing")
    schema = _command(
        commands, "schema", _schema, "print the JSON schema of suites, or of a document that bench writes"
    )
    schema.add_argument("--of", choices=DOCUMENTS, default="suite", help="default: suite")
    _command(commands, "doctor", _doctor, "versions, device, cache, and what is missing")
    add_loudness(parser)
    return parser


def _add_run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    run = _command(commands, "run", _run, "run a suite and print its leaderboard")
    run.add_argument("suite", metavar="SUITE", help=SUITE)
    _add_results(run)
    run.add_argument(
        "--only", default="*", metavar="GLOB", help="only units that match, as model/seed/attack/library"
    )
    run.add_argument(
        "--shard", type=_shard, default=(1, 1), metavar="I/N", help="only the I-th of N parts of the units"
    )
    run.add_argument("--executor", choices=("local", "ray"), default="local", help=EXECUTOR)
    run.add_argument("--workers", type=_count, metavar="N", help=WORKERS)
    _add_surroundings(run)
    run.add_argument("--weights-of", metavar="REFERENCE", help=WEIGHTS_OF)
    run.add_argument("--fresh", action="store_true", help="recompute every cell")
    run.add_argument(
        "--save-adversarials", action="store_true", help="store the images too, checked in float32 and uint8"
    )
    run.add_argument("--dry-run", action="store_true", help="show what would be run, and run nothing")
    run.add_argument(
        "--gate",
        action="store_true",
        help="then compare with the suite's reference: exit 3 or 4 as bench compare does",
    )
    cli_export.add_option(run)
    add_format(run, "run")
    run.add_argument("-o", "--output", type=Path, metavar="FILE", help="write there instead of to stdout")


def _add_train(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    train = _command(commands, "train", _train, "train a suite's models, and say where their weights are")
    train.add_argument("suite", metavar="SUITE", help=SUITE)
    train.add_argument("--workers", type=_count, metavar="N", help=WORKERS)
    _add_surroundings(train)


def _add_reproduce(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    again = _command(
        commands, "reproduce", _reproduce, "make a stored run again, and compare every cell with it"
    )
    again.add_argument("run", metavar="RUN", help="a run's folder or id, or 'latest'")
    _add_results(again)
    _add_surroundings(again)
    add_format(again, "reproduction")


def _add_results(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--results", type=Path, default=Path("results"), help="where runs are stored (default: results)"
    )


def _add_surroundings(command: argparse.ArgumentParser) -> None:
    """What of the machine a ``command`` uses that trains or attacks."""
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    command.add_argument(
        "--data-root",
        type=Path,
        metavar="DIR",
        help="where data sets are (default: $BENCH_DATA, or the cache)",
    )
    command.add_argument(
        "--allow-code", action="store_true", help="run the code that the suite names as its architectures"
    )


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    function: Callable[[argparse.Namespace], int],
    help_text: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=help_text, description=help_text[0].upper() + help_text[1:] + ".")
    parser.set_defaults(command=function)
    return parser


def _shard(text: str) -> tuple[int, int]:
    """(i, n) of "i/n"."""
    part, slash, of = text.partition("/")
    if not (slash and part.isdecimal() and of.isdecimal() and 1 <= int(part) <= int(of)):
        raise argparse.ArgumentTypeError(f"'{text}' is not I/N with 1 <= I <= N, like 2/4")
    return int(part), int(of)


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of workers (1 or more)")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    if options.dry_run:
        return _preview(options)
    with uncollected():
        from bench.api.asked import run_asked

    path, how = run_asked(options.suite, _how(options), options.weights_of)
    return _show_run(path, how, options)


def _preview(options: argparse.Namespace) -> int:
    if options.gate:
        raise UserError("--gate: a dry run has nothing to judge; drop one of the two")
    from bench.api.asked import declared, settled
    from bench.api.preview import preview
    from bench.render.listing import preview_table

    with declared(options.suite) as suite:
        found = preview(suite, settled(options.suite, suite, _how(options), options.weights_of))
    _print(lambda console: preview_table(found, console.width))
    return Exit.OK


def _train(options: argparse.Namespace) -> int:
    with uncollected():
        from bench.api.asked import declared, settled
        from bench.api.pipeline import train_suite
        from bench.engine.progress import on_stderr
        from bench.render.listing import trained_table

    with declared(options.suite) as suite:
        how = settled(options.suite, suite, _how_to_train(options))
        models = train_suite(suite, how, on_stderr())
    _print(lambda console: trained_table(models, console.width))
    return Exit.OK


def _how_to_train(options: argparse.Namespace) -> "Options":
    from bench.engine.options import Options
    from bench.suite.permission import permitted

    permission = permitted(allow_code=options.allow_code)
    return Options(
        Path("results"),
        options.device,
        data_root=options.data_root,
        permission=permission,
        workers=options.workers,
    )


def _how(options: argparse.Namespace) -> "Options":
    from bench.engine.options import Options
    from bench.suite.permission import permitted

    return Options(
        options.results,
        options.device,
        options.only,
        options.shard,
        options.fresh,
        options.save_adversarials,
        data_root=options.data_root,
        executor=options.executor,
        permission=permitted(allow_code=options.allow_code),
        workers=options.workers,
    )


def _show_run(path: Path, how: "Options", options: argparse.Namespace) -> int:
    from bench.api.remaining import remaining
    from bench.api.result import Result

    result = Result(path)
    present(options.format.run(result.card), options.output)
    left = remaining([cell.entry for cell in result.card.cells], how)
    for line in (f"stored: {path}", *left.lines):
        note(line)
    cli_export.export_all(result, options.export)
    return cli_compare.gate(path, options.results, options.format.name) if options.gate else left.exit_code


def _reproduce(options: argparse.Namespace) -> int:
    from bench.api.reproduce import reproduce
    from bench.comparison.runs import find_stored
    from bench.engine.progress import on_stderr

    run = find_stored(options.run, options.results)
    found = reproduce(run, options.device, on_stderr(), options.data_root, allow_code=options.allow_code)
    present(options.format.reproduction(found))
    return found.exit_code


def _list(options: argparse.Namespace) -> int:
    from bench.cli.catalogue import CATALOGUE

    present(options.format.listing(CATALOGUE[options.what]()))
    return Exit.OK


def _schema(options: argparse.Namespace) -> int:
    from bench.render.schemas import schema_of

    _write(schema_of(options.of).rstrip("\n"))
    return Exit.OK


def _doctor(options: argparse.Namespace) -> int:  # noqa: ARG001
    from bench.cli.doctor import examine
    from bench.render.listing import doctor_table

    findings = examine()
    _print(lambda console: doctor_table(findings, console.width))
    return Exit.OK if all(f.status != "missing" for f in findings) else Exit.INCOMPLETE
