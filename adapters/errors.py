"""Errors of models and data that a user can fix."""

from collections.abc import Iterator
from contextlib import contextmanager


class Mistake(Exception):  # noqa: N818
    """Something that the user gave cannot be used.

    ``about`` are the keys of the declaration that it stands at, if known.
    """

    about: tuple[str | int, ...] = ()


class ModelError(Mistake):
    """A model cannot be built, trained or loaded as asked. The message names what is wrong and the fix."""


class ChangedError(ModelError):
    """What was trained is gone or another since this run read or planned it.

    The same command starts from what is there.
    """


@contextmanager
def about(*keys: str | int) -> Iterator[None]:
    """What is found wrong in here stands at ``keys`` of the declaration, unless it is known more exactly."""
    try:
        yield
    except Mistake as mistake:
        mistake.about = mistake.about or keys
        raise


@contextmanager
def within(*keys: str | int) -> Iterator[None]:
    """What is found wrong in here stands below ``keys`` of the declaration."""
    try:
        yield
    except Mistake as mistake:
        mistake.about = (*keys, *mistake.about)
        raise
