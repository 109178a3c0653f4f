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
class LogLine:
    """Something was logged."""

    level: int
    text: str


Message = Training | Epoch | LogLine | pulse.Step


class Channel(Protocol):
    """The way of messages to the process that watches."""

    def put(self, message: Message) -> None:
        """Send ``message``."""
        ...


def log_to(channel: Channel) -> None:
    """What this process logs goes to ``channel``, and nowhere else."""
    logging.root.handlers.clear()
    quiet(_ChannelHandler(channel))
    logging.captureWarnings(True)  # what Python warns of too: the terminal is another process's


class _ChannelHandler(logging.Handler):
    """Sends what is logged."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        self._channel.put(LogLine(record.levelno, record.getMessage()))


def announcing(channel: Channel) -> "Callable[[str], curves.Progress]":
    """How a zoo announces its trainings by ``channel``; each can be stopped between two epochs."""

    def announce(title: str) -> "curves.Progress":
        name = uuid4().hex
        channel.put(Training(name, title))
        return interrupt.stoppable(lambda *epoch: channel.put(Epoch(name, *epoch)))

    return announce


def reporting(channel: Channel) -> pulse.Watch:
    """How a process tells ``channel`` how far it is.

    It does so as often as somebody may look, and whenever it begins or ends something.
    """
    what, last = "", 0.0

    def report(step: pulse.Step) -> None:
        nonlocal what, last
        if step.over or step.what != what or time.monotonic() - last > LOOK:
            what, last = step.what, time.monotonic()
            channel.put(step)

    return report


class Reader:
    """Shows messages as what they tell would be shown if it happened in this process."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._epochs: dict[str, curves.Progress] = {}

    def read(self, message: Message) -> None:
        """Show ``message``."""
        match message:
            case Training(name, title):
                self._epochs[name] = self._progress.training(title)
            case Epoch(name, done, total, last):
                self._epochs[name](done, total, last)
            case LogLine(level, text):
                log.log(level, "%s", text)
            case pulse.Step():
                self._progress.at(message)
