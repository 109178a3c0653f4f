"""Errors that a user can mend, and the exit codes of the command line."""

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of ``bench``."""

    OK = 0
    CRASH = 1
    USAGE = 2
    GATE_FAILED = 3
    INCOMPLETE = 4
    INTERRUPTED = 130


class UserError(Exception):
    """Something that the user gave cannot be used. The message says what, where, and the fix; the exit code is 2."""

    exit_code = Exit.USAGE


class StorageError(UserError):
    """Something cannot be written. What is stored already stays, and the same command goes on from there."""

    exit_code = Exit.INCOMPLETE


class NotComparableError(UserError):
    """What is stored is missing, broken or of a newer version, so that nothing can be said of it."""

    exit_code = Exit.INCOMPLETE
