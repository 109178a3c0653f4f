"""What a process that trains or attacks tells the one that watches it, and how that one shows it."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

from bench import pulse
from bench.engine import interrupt
from bench.engine.logs import quiet
from bench.engine.progress import Progress

if TYPE_CHECKING:
    from adapters.training import curves

LOOK = 0.25
"""Seconds between two reports of how far a process is."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """A training begins: ``name`` is its own, where two that run side by side may share a ``title``."""

    name: str
    title: str


@dataclass(frozen=True)
class Epoch:
    """An epoch of the training ``name`` has ended."""

    name: str
    done: int
    total: int
    last: "curves.Epoch"


@dataclass(frozen=True)
class Said:
    """Something was logged."""

    level: int
    text: str


Letter = Training | Epoch | Said | pulse.Step


class Mail(Protocol):
    """The way of letters to the process that watches."""

    def put(self, letter: Letter) -> None:
        """Send ``letter``."""
        ...


def mail_log(mail: Mail) -> None:
    """What this process logs goes to ``mail``, and nowhere else."""
    logging.root.handlers.clear()
    quiet(_Mailing(mail))
    logging.captureWarnings(True)  # what Python warns of too: the terminal is another process's


class _Mailing(logging.Handler):
    """Sends what is logged."""

    def __init__(self, mail: Mail) -> None:
        super().__init__()
        self._mail = mail

    def emit(self, record: logging.LogRecord) -> None:
        self._mail.put(Said(record.levelno, record.getMessage()))


def announcing(mail: Mail) -> "Callable[[str], curves.Progress]":
    """How a zoo announces its trainings by ``mail``; each can be stopped between two epochs."""

    def announce(title: str) -> "curves.Progress":
        name = uuid4().hex
        mail.put(Training(name, title))
        return interrupt.stoppable(lambda *epoch: mail.put(Epoch(name, *epoch)))

    return announce


def reporting(mail: Mail) -> pulse.Watch:
    """How a process tells ``mail`` how far it is.

    It does so as often as somebody may look, and whenever it begins or ends something.
    """
    what, last = "", 0.0

    def report(step: pulse.Step) -> None:
        nonlocal what, last
        if step.over or step.what != what or time.monotonic() - last > LOOK:
            what, last = step.what, time.monotonic()
            mail.put(step)

    return report


class Reader:
    """Shows letters as what they tell would be shown if it happened in this process."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._epochs: dict[str, curves.Progress] = {}

    def read(self, letter: Letter) -> None:
        """Show ``letter``."""
        match letter:
            case Training(name, title):
                self._epochs[name] = self._progress.training(title)
            case Epoch(name, done, total, last):
                self._epochs[name](done, total, last)
            case Said(level, text):
                log.log(level, "%s", text)
            case pulse.Step():
                self._progress.at(letter)
