"""Makes the study's page from what is published, publishes a run, or runs a suite and does both.

``python -m docs.study``, ``python -m docs.study publish RUN``, ``python -m docs.study run SUITE``.
"""

import argparse
import sys
from pathlib import Path

import bench
from bench.engine.interrupt import Interrupted
from bench.errors import UserError
from bench.scoring.published import publish, to_text
from bench.store import write_published
from docs.study.found import PUBLISHED, load
from docs.study.page import write


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m docs.study", description=__doc__)
    parser.add_argument("do", nargs="?", choices=("page", "publish", "run"), default="page")
    parser.add_argument("what", nargs="?", help="a run's folder to publish, or a suite to run")
    parser.add_argument("--published", type=Path, default=PUBLISHED, help="where published runs lie")
    parser.add_argument("--page", type=Path, default=Path(__file__).parent, help="the folder of the page")
    parser.add_argument("--results", type=Path, default=Path("results"), help="where a suite's run is stored")
    parser.add_argument("--data-root", type=Path, help="where data sets lie")
    asked = parser.parse_args(argv)
    if (asked.do == "page") != (asked.what is None):
        parser.error(f"{asked.do} takes {'nothing more' if asked.what else 'one more word: see --help'}")
    try:
        if asked.what is not None:
            run = _run(asked.do, asked.what, asked.results, asked.data_root).run
            write_published(asked.published, run.header.suite_name, to_text(publish(run)))
        write(load(asked.published), asked.page)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    except Interrupted as stop:
        sys.stderr.write("stopped; the same command goes on from here\n")
        return stop.exit_code
    return 0


def _run(do: str, what: str, results: Path, data_root: Path | None) -> bench.Result:
    if do == "run":
        return bench.run(what, results=results, data_root=data_root)
    return bench.load(what, results=results)


if __name__ == "__main__":
    sys.exit(main())
