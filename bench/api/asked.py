"""A suite as it is asked for -> its run: the one way, for the command line and for scripts."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.api import pipeline, reference_weights
from bench.engine.job import default_cache
from bench.engine.options import Options
from bench.engine.progress import on_stderr
from bench.errors import SuiteError
from bench.store import attempted
from bench.suite.suite import Suite, find_suite, load_suite, place_of, suite_from

Asked = str | Path | Mapping[str, Any]
"""A suite's file, the name of a shipped one, or the same declaration as a mapping."""


@contextmanager
def declared(asked: Asked) -> Iterator[Suite]:
    """The suite that is ``asked`` for.

    Raises UserError; what is found wrong in it is named by its file and line.
    """
    if isinstance(asked, Mapping):
        yield suite_from(asked)
        return
    path = find_suite(str(asked))
    try:
        yield load_suite(path)
    except SuiteError as error:
        raise type(error)(f"{place_of(path, error)}: {error}", error.where) from None


def settled(asked: Asked, suite: Suite, options: Options, weights_of: str | None = None) -> Options:
    """``options`` for ``suite``: paths count from its own folder, then the current one.

    Its weights may be a reference's.
    """
    file = weights_of and reference_weights.reference_of(weights_of, options.results, suite.name)
    return replace(
        options,
        near=() if isinstance(asked, Mapping) else (find_suite(str(asked)).parent, Path()),
        weights_of=file or None,
        kept=reference_weights.fill(file, default_cache()) if file else None,
    )


def run_asked(asked: Asked, options: Options, weights_of: str | None = None) -> tuple[Path, Options]:
    """Bring the run of the suite that is ``asked`` for to its end: its folder, and how it was run.

    The attempt is noted, so that no gate passes on the run before it. Raises UserError and Interrupted.
    """
    file = (
        f"{asked.get('name')} (given in Python)"
        if isinstance(asked, Mapping)
        else str(Path(asked).absolute())
    )
    with attempted(options.results, file) as attempt, declared(asked) as suite:
        attempt.of_suite(suite.name)
        how = settled(asked, suite, options, weights_of)
        run = pipeline.run_suite(suite, how, on_stderr())
        attempt.made(run.path.name)
        return run.path, how
