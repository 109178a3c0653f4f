"""What became of the newest ``bench run`` of each suite's file: a gate must not pass on the run before it."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from uuid import uuid4

from pydantic import TypeAdapter

from bench.errors import NotComparableError, StorageError, UserError
from bench.store.atomic import write_atomically
from bench.store.opening import check_writable
from bench.store.run import locked
from bench.store.strangers import parse, read_bytes, typed

FILE = ".attempts"
"""Beside the suites' folders. It holds the newest attempt of each suite's file."""
KEPT = 100
"""Files of suites that are remembered."""
LONGEST = 1_000
"""Characters of a reason that are kept."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attempt:
    """One ``bench run``: of which suite ``file``, named ``suite`` if it could be read, and what came of it.

    ``run`` is the id of the run that it made or took up, once it has "ended"; ``reason`` is why it has
    "failed". One that is "running" still is, or was killed.
    """

    id: str
    file: str
    started: str
    suite: str | None = None
    state: Literal["running", "failed", "ended"] = "running"
    reason: str = ""
    run: str = ""


_STORED = TypeAdapter(dict[str, Attempt])


class Attempted:
    """The attempt that this process is at."""

    def __init__(self, results: Path, file: str) -> None:
        self._results = results
        self._attempt = Attempt(uuid4().hex, file, datetime.now(UTC).isoformat())

    def begin(self) -> None:
        """Note that it began: until more is known, its suite is the one that this file had before.

        Where there are no results yet, no gate can pass on old ones, and nothing is noted.
        """
        if not self._results.is_dir():
            return
        check_writable(self._results)
        with locked(self._results):
            known = _read_or_forget(self._results)
            before = known.get(self._attempt.file)
            self._attempt = replace(self._attempt, suite=before.suite if before else None)
            _write(self._results, {**known, self._attempt.file: self._attempt})

    def of_suite(self, name: str) -> None:
        """Its suite is called ``name``."""
        self._note(suite=name)

    def made(self, run: str) -> None:
        """It has come to its end, in the run with the id ``run``."""
        self._note(state="ended", run=run)

    def failed(self, reason: str) -> None:
        """It has brought no run to its end, if it has not said otherwise."""
        if self._attempt.state == "ended":
            return
        with suppress(StorageError):  # it then stays "running", by which no gate passes either
            self._note(state="failed", reason=reason[:LONGEST])

    def _note(self, **changes: str) -> None:
        """Change the attempt, unless a newer one of the same file has taken its place."""
        self._attempt = replace(self._attempt, **changes)  # type: ignore[arg-type]
        if not self._results.is_dir():
            return
        with locked(self._results):
            known = _read_or_forget(self._results)
            if known.get(self._attempt.file, self._attempt).id == self._attempt.id:
                _write(self._results, {**known, self._attempt.file: self._attempt})


@contextmanager
def attempted(results: Path, file: str) -> Iterator[Attempted]:
    """A ``bench run`` of the suite in ``file``, noted under ``results`` from beginning to end.

    It is noted however it ends.
    """
    attempt = Attempted(results, file)
    attempt.begin()
    try:
        yield attempt
    except BaseException as error:
        attempt.failed(str(error) or type(error).__name__)
        raise


def refused(results: Path, file: str, reason: str) -> None:
    """A ``bench run`` that ended before its suite was looked at."""
    with suppress(UserError):  # where nothing can be written, nothing can be run either
        attempt = Attempted(results, file)
        attempt.begin()
        attempt.failed(reason)


def check_newest(run: Path, *, of_all: bool) -> None:
    """Raise NotComparableError unless the newest ``bench run`` of its suite (or ``of_all``) made ``run``.

    Results without any note of attempts are of an older version, or copied: of these nothing is known.
    """
    results = run.parent.parent
    known = _read(results).values()
    found = [a for a in known if of_all or a.suite in (run.parent.name, None)]
    newest = max(found, key=lambda attempt: attempt.started, default=None)
    if newest is None or (newest.state == "ended" and newest.run == run.name):
        return
    what = {
        "failed": f"failed ({newest.reason.partition(chr(10))[0]})",
        "running": "did not finish: it was killed, or is still running",
        "ended": f"made {newest.run}, which is not there",
    }[newest.state]
    raise NotComparableError(
        f"{run}: is older than the newest `bench run` ({newest.file}, {newest.started[:19]}), which {what}; "
        "run the suite again, or name the run by its folder to judge it anyway"
    )


def _read(results: Path) -> dict[str, Attempt]:
    file = results / FILE
    try:
        return typed(_STORED, parse(read_bytes(file)))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise NotComparableError(f"{file}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise NotComparableError(
            f"{file}: is damaged, so it is not known how the newest `bench run` ended; run it again"
        ) from None


def _read_or_forget(results: Path) -> dict[str, Attempt]:
    """As ``_read``; of a file that cannot be used, nothing is known: a new attempt says more than it did."""
    try:
        return _read(results)
    except NotComparableError as error:
        log.warning("%s; written anew", error)
        return {}


def _write(results: Path, attempts: dict[str, Attempt]) -> None:
    newest = sorted(attempts.items(), key=lambda item: item[1].started)[-KEPT:]
    text = json.dumps({file: asdict(attempt) for file, attempt in newest}, indent=1)
    write_atomically(results / FILE, text.encode(errors="backslashreplace"))
