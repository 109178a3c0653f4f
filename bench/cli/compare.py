"""The commands that set runs beside each other: ``bench compare`` and ``bench reference``."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.formats import asked_format
from bench.errors import Exit, UserError
from bench.render.output import harmless, note, present, show

if TYPE_CHECKING:
    from bench.comparison.verdict import Verdict

LIMIT = 20.0
"""MB of weights that are kept beside a reference: what version control does not mind."""
GATE = "exit 3 if a change is beyond the suite's gate, 4 if cells are missing or not comparable"
FORMATS = "table, json, csv, md, or of two runs junit, or one that a package adds (default: table)"


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add this module's commands to the parser."""
    compare = commands.add_parser(
        "compare",
        help="rank the runs of a folder, or tell a change between two runs from noise",
        description=(
            "One PATH: all runs in it, those of a suite in one ranking, each against its suite's reference."
            " Two: what changed from the first to the second, cell by cell on the samples that they share. A"
            " run is its folder, its id, 'latest', 'reference', a reference file, or a git revision of the"
            " reference."
        ),
    )
    compare.set_defaults(command=_compare)
    compare.add_argument("before", metavar="PATH", help="a results folder, or the run to compare with")
    compare.add_argument("after", metavar="PATH", nargs="?", help="the run that is compared")
    compare.add_argument(
        "--gate",
        action="store_true",
        help="exit 3 if a change is beyond the suite's gate, 4 if cells are missing or not comparable",
    )
    compare.add_argument(
        "--all", action="store_true", help="show every row, not only those in which a change is shown"
    )
    compare.add_argument(
        "--results", type=Path, default=Path("results"), help="where runs are stored (default: results)"
    )
    compare.add_argument("--format", default="table", metavar="FORMAT", help=FORMATS)
    compare.add_argument("-o", "--output", type=Path, metavar="FILE", help="write there instead of to stdout")
    _add_reference(commands)


def _add_reference(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    reference = commands.add_parser("reference", help="the committed numbers that CI compares with")
    actions = reference.add_subparsers(title="actions", required=True, metavar="ACTION")
    text = "show how a run differs from the reference of its suite, then make it the reference"
    update = actions.add_parser("update", help=text, description=text[0].upper() + text[1:] + ".")
    update.set_defaults(command=_update)
    update.add_argument("run", metavar="RUN", help="a run's folder or id, or 'latest'")
    update.add_argument(
        "--force", action="store_true", help="accept a run that was made from uncommitted changes"
    )
    update.add_argument(
        "--with-weights", action="store_true", help="keep the run's weights beside it: bench run --weights-of"
    )
    update.add_argument(
        "--limit-mb", type=float, default=LIMIT, metavar="MB", help=f"the most to keep (default: {LIMIT:g})"
    )
    update.add_argument(
        "--allow-code", action="store_true", help="run the code that the suite names, to find its weights"
    )
    update.add_argument(
        "--results", type=Path, default=Path("results"), help="where runs are stored (default: results)"
    )


def _compare(options: argparse.Namespace) -> int:
    if options.after is None and not options.gate:
        return _rank(options)
    from bench.comparison.compare import compare
    from bench.comparison.runs import find_pair

    form = asked_format(options.format, "verdict")
    first, second = (
        ("reference", options.before) if options.after is None else (options.before, options.after)
    )
    before, after = find_pair(first, second, options.results, gated=options.gate)
    verdict = compare(before, after, gated=options.gate)
    assert form.verdict is not None  # noqa: S101 (it was asked for one that has it)
    present(form.verdict(verdict, options.all), options.output)
    _tell_github(verdict)
    return verdict.exit_code


def gate(run: Path, results: Path, form: str) -> int:
    """Judge ``run`` by its suite's reference; returns the exit code.

    In a format that programs read, standard output holds the run's numbers alone, and the verdict goes to
    stderr.
    """
    from bench.comparison.compare import compare
    from bench.comparison.phrases import details, headline
    from bench.comparison.runs import find_pair
    from bench.render.verdict import verdict_table

    verdict = compare(*find_pair("reference", str(run), results), gated=True)
    if form == "table":
        show(lambda console: verdict_table(verdict, console.width, every_row=False))
    else:
        for line in (*details(verdict), headline(verdict)):
            print(harmless(line), file=sys.stderr)  # noqa: T201
    _tell_github(verdict)
    return verdict.exit_code


def _tell_github(verdict: "Verdict") -> None:
    from bench.cli.github import annotations, write_summary

    write_summary(verdict)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in annotations(verdict):
            print(harmless(line), file=sys.stderr)  # noqa: T201


def _rank(options: argparse.Namespace) -> int:
    from bench.comparison.ranking import ranked

    if not Path(options.before).is_dir():
        raise UserError(f"{options.before}: is not a folder; give a results folder, or two runs")
    form = asked_format(options.format, "runs")
    found = ranked(Path(options.before))
    assert form.runs is not None  # noqa: S101 (as above)
    present(form.runs(found), options.output)
    return Exit.OK if found.is_complete else Exit.INCOMPLETE


def _update(options: argparse.Namespace) -> int:
    from bench.api import reference_weights
    from bench.comparison import reference
    from bench.comparison.runs import find_stored
    from bench.render.verdict import verdict_table

    run = find_stored(options.run, options.results)
    snapshot, verdict = reference.preview(run, options.results)
    if verdict is not None:
        show(lambda console: verdict_table(verdict, console.width, every_row=False))
    reference.check(snapshot, force=options.force)
    if options.with_weights:
        folder = reference_weights.keep(
            run.header, options.results, options.limit_mb, allow_code=options.allow_code
        )
        note(f"written: {folder}")
    else:
        reference_weights.check_weights(snapshot, options.results)
    file = reference.update(snapshot, options.results)
    note(f"written: {file}; commit it")
    return Exit.OK
