"""How far this process is with what it attacks or checks, told to whoever watches it.

A process is at one thing at a time, as it has one set of signals: so what it is at belongs to the process,
like those.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

Watch = Callable[["Step"], None]
"""Gets each step as it is reached; it may be called often."""


@dataclass(frozen=True)
class Step:
    """How far ``what`` is: in the ``batch`` of ``batches``, counted from 0, in the ``round`` of ``rounds``.

    There, ``answered`` of ``asked`` images have been attacked; each is asked for at every one of ``grid``
    eps, or once for all of them. A round is a stage or a restart. ``over``: nothing more will be said of it.
    """

    what: str
    batch: int = 0
    batches: int = 1
    round: int = 0
    rounds: int = 1
    answered: int = 0
    asked: int = 0
    grid: int = 0
    over: bool = False

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1, as if each part took as long as every other."""
        return (self.batch + (self.round + self._of_round) / self.rounds) / self.batches

    @property
    def eps(self) -> int:
        """At how many of the ``grid`` all images of this batch have been attacked."""
        return int(self._of_round * self.grid + 1e-9)

    @property
    def _of_round(self) -> float:
        return self.answered / self.asked if self.asked else 0.0

    def __str__(self) -> str:
        """With what there is to count."""
        counts = [f"eps {self.eps}/{self.grid}"] if self.grid else []
        counts += [f"batch {self.batch + 1}/{self.batches}"] if self.batches > 1 else []
        return "  ".join([self.what, ", ".join(counts)]) if counts else self.what


_watches: list[Watch] = []
_steps: list[Step] = []


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Within, ``watch`` gets every step of this process, and no other watch does."""
    _watches.append(watch)
    try:
        yield
    finally:
        _watches.pop()


def unwatched() -> AbstractContextManager[None]:
    """Within, nobody gets the steps of this process."""
    return watched(lambda _: None)


@contextmanager
def doing(what: str, grid: int = 0) -> Iterator[None]:
    """Within, this process is at ``what``, for which so many eps will be tried."""
    _steps.append(Step(what, grid=grid))
    at()
    try:
        yield
    finally:
        at(over=True)
        _steps.pop()


def at(**reached: Any) -> None:
    """What this process is at has ``reached`` that: fields of Step.

    Nothing, where it is at nothing that is watched.
    """
    if _steps and _watches:
        _steps[-1] = replace(_steps[-1], **reached)
        _watches[-1](_steps[-1])


def answered(images: int) -> None:
    """So many more ``images`` have been attacked."""
    if _steps:
        at(answered=min(_steps[-1].answered + images, _steps[-1].asked))
