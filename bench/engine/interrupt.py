"""SIGINT and SIGTERM ask a run to stop at the next point where all is stored; a second stops it at once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from adapters.training.curves import Epoch, Progress

SIGNALS = (signal.SIGINT, signal.SIGTERM)

_asked: list[int] = []
"""The signals received. Signals belong to the process, so this does too."""


class Interrupted(BaseException):
    """The run was asked to stop, and has. No library's ``except Exception`` catches it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """As shells report a process that ended by this signal: 130 or 143."""
        return 128 + self.number


@contextmanager
def deferred() -> Iterator[None]:
    """Within, a first signal only asks: ``check`` then raises Interrupted. Needs the main thread."""
    before = {number: signal.signal(number, _ask) for number in SIGNALS}
    try:
        yield
    finally:
        _asked.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def heed() -> None:
    """From here on signals only ask, however many come.

    It is for a forked process, which its parent ends if it is to end at once.
    """
    _asked.clear()
    for number in SIGNALS:
        signal.signal(number, lambda asked, _: _asked.append(asked))


def check() -> None:
    """Raise Interrupted if the run was asked to stop."""
    if _asked:
        raise Interrupted(_asked[0])


def stoppable(show: Progress) -> Progress:
    """``show``, a training's progress callback, as the place where it can be interrupted: after an epoch."""

    def epoch(done: int, total: int, last: Epoch) -> None:
        show(done, total, last)
        if done < total:
            check()

    return epoch


def _ask(number: int, _: FrameType | None) -> None:
    _asked.append(number)
    if len(_asked) > 1:
        raise Interrupted(number)
