"""Errors that a user can fix, and the exit codes of the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from adapters.errors import ChangedError, Mistake, ModelError


class Exit(IntEnum):
    """The exit codes of ``bench``."""

    OK = 0
    CRASH = 1
    USAGE = 2
    GATE_FAILED = 3
    INCOMPLETE = 4
    INTERRUPTED = 130


class UserError(Mistake):
    """Something that the user gave cannot be used.

    The message says what, where, and the fix; the exit code is 2.
    """

    exit_code = Exit.USAGE


class StorageError(UserError):
    """Something cannot be written. What is stored already stays, and the same command goes on from there."""

    exit_code = Exit.INCOMPLETE


class LostWorkerError(UserError):
    """The process that something ran in, on some machine, is gone.

    What it had stored stays, and the same command goes on.
    """

    exit_code = Exit.INCOMPLETE


class NotComparableError(UserError):
    """What is stored is missing, broken or of a newer version, so that nothing can be said of it."""

    exit_code = Exit.INCOMPLETE


class SuiteError(UserError):
    """Something that a suite asks for is not available.

    ``where`` is its place in the file, as keys and list positions.
    """

    def __init__(self, message: str, where: tuple[str | int, ...]) -> None:
        super().__init__(message)
        self.where = where

    def __reduce__(self) -> tuple[type, tuple[str, tuple[str | int, ...]]]:
        """It crosses from the process that met it to the one that says it."""
        return type(self), (str(self), self.where)


class MissedError(SuiteError):
    """Something is not as the suite says it must be: no number would mean what its author thinks."""

    exit_code = Exit.INCOMPLETE


@contextmanager
def asked_at(*where: str | int) -> Iterator[None]:
    """What is not available in here was asked for at that place of the suite."""
    try:
        yield
    except (SuiteError, StorageError, LostWorkerError, ChangedError):
        raise
    except (UserError, ModelError) as error:
        raise SuiteError(str(error), (*where, *error.about)) from None


def dotted(loc: tuple[str | int, ...]) -> str:
    """``loc`` as people write it: models[2].adaptation.path."""
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in loc).lstrip(".")
