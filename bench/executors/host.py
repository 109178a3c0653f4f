"""A host: a process that has loaded what its tasks share, and lets a child forked from it carry out each.

A child carries out one task after another, and is forked when none is idle: one that is killed costs one
task. A host computes nothing once it is up, so that no lock is forked while a thread holds it.
"""

import os
import pickle
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

from bench.engine import interrupt
from bench.engine.interrupt import Interrupted
from bench.errors import Exit
from bench.executors.forked import close, end, ended, fork, settle_memory
from bench.executors.messages import Channel, Message, log_to

END_OF_FILE = (EOFError, OSError)
"""What reading from a process that has died raises: between two messages, or within one."""
Serve = Callable[[Any, Channel], Any]
"""Carries out one request, and may write messages on the way."""


@dataclass(frozen=True)
class Ended:
    """How a task ended: with a ``value``, an ``error`` that it raised, or as it was asked to (``stopped``).

    Or its process ended without a word, with the exit code ``lost``: minus the signal's number if it was
    killed.
    """

    value: Any = None
    error: BaseException | None = None
    stopped: bool = False
    lost: int | None = None

    @property
    def is_done(self) -> bool:
        """Whether it was carried out."""
        return self.error is None and not self.is_lost

    @property
    def is_lost(self) -> bool:
        """Whether its process ended without having been asked to, and stored nothing of why."""
        return self.stopped or self.lost not in (None, Exit.INCOMPLETE)

    @property
    def fate(self) -> str:
        """What became of its process."""
        code = -signal.SIGTERM if self.lost is None else self.lost
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"it ended with code {code}"


@dataclass(frozen=True)
class Up:
    """A host has loaded what its tasks share."""


Event = Message | Up | Ended
Heard = tuple[int | None, Event]
"""An event, and the number of the request that it is about."""


@dataclass
class Host:
    """A host as its parent sees it. ``running``: the numbers of the requests that it is at."""

    pid: int
    connection: Connection
    up: bool = False
    running: set[int] = field(default_factory=set)

    def ask(self, number: int, request: object) -> None:
        """Let a child carry out ``request``."""
        self.running.add(number)
        self._send((number, request))

    def stop(self) -> None:
        """Ask its children to stop, and it to end after them."""
        self._send(None)

    def _send(self, message: object) -> None:
        with suppress(OSError):  # it is dead: whoever reads from it will see
            self.connection.send(message)

    def read(self) -> Heard:
        """The next that it says. Raises EOFError or OSError if it has died."""
        said: Heard = self.connection.recv()
        number, event = said
        if isinstance(event, Up):
            self.up = True
        elif isinstance(event, Ended) and number is not None:
            self.running.discard(number)
        return said

    def end(self) -> int:
        """End it, with its children, if it has not ended; its exit code."""
        return end(self.pid, self.connection)

    def dismiss(self) -> None:
        """Let it end, which is up and at nothing; it takes time to free what it has loaded."""
        close(self.connection)

    def has_ended(self) -> bool:
        """Whether it has ended, which was dismissed; then nothing more waits for it."""
        return os.waitpid(self.pid, os.WNOHANG)[0] == self.pid

    def wait(self) -> None:
        """Wait until it has ended, which was dismissed."""
        ended(self.pid)


def start_host(make: Callable[[], Serve]) -> Host:
    """Fork a host, whose children are forked once ``make`` has given what carries out their requests."""
    ours, theirs = Pipe()
    return Host(fork(lambda: _Hosting(theirs).run(make), ours, theirs), ours)


class _Post:
    """Events up a connection, each with the number of the request that they are about."""

    def __init__(self, connection: Connection, number: int | None) -> None:
        self._connection, self._number = connection, number

    def put(self, event: Event) -> None:
        self._connection.send((self._number, event))


@dataclass
class _Child:
    """A child as its host sees it, and the number of the request that it is at."""

    pid: int
    busy: int | None


class _Hosting:
    """What a host does, in its own process."""

    def __init__(self, parent: Connection) -> None:
        self._parent = parent
        self._children: dict[Connection, _Child] = {}
        self._stopping = False

    def run(self, make: Callable[[], Serve]) -> None:
        """Load, then hand requests down and events up until nothing more will come."""
        signal.pthread_sigmask(signal.SIG_BLOCK, interrupt.SIGNALS)  # its parent says when to stop
        post = _Post(self._parent, None)
        log_to(post)
        serve = make()
        settle_memory()
        post.put(Up())
        while not self._stopping or any(child.busy is not None for child in self._children.values()):
            for ready in wait([self._parent, *self._children]):
                if ready is not self._parent:
                    self._hand_up(ready)  # type: ignore[arg-type]
                elif not self._hand_down(serve):
                    self._end()
                    return

    def _hand_down(self, serve: Serve) -> bool:
        """Do what the parent says; False if it will say no more."""
        try:
            message = self._parent.recv()
        except END_OF_FILE:
            return False
        if message is None:
            self._stopping = True
            for child in self._children.values():
                os.kill(child.pid, signal.SIGTERM)
            return True
        connection = next(
            (c for c, child in self._children.items() if child.busy is None), None
        ) or self._new_child(serve)
        self._children[connection].busy = message[0]
        with suppress(OSError):  # it is dead, which is seen when it is read from
            connection.send(message)
        return True

    def _end(self) -> None:
        """Wait for the children, so that what they have computed is accounted for."""
        for connection, child in self._children.items():
            end(child.pid, connection)

    def _new_child(self, serve: Serve) -> Connection:
        ours, theirs = Pipe()

        def be() -> None:
            self._parent.close()
            _serve(theirs, serve)

        self._children[ours] = _Child(fork(be, ours, theirs), None)
        return ours

    def _hand_up(self, connection: Connection) -> None:
        """Hand up one thing that a child says, or what became of it."""
        child = self._children[connection]
        try:
            said = connection.recv()
        except END_OF_FILE:
            said = child.busy, Ended(lost=end(child.pid, connection))
            del self._children[connection]
        if isinstance(said[1], Ended):
            child.busy = None
        if said[0] is not None:  # one that is killed while idle costs nothing
            self._parent.send(said)


def _serve(parent: Connection, serve: Serve) -> None:
    """Be a child: carry out requests until no more come."""
    interrupt.heed()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, interrupt.SIGNALS)
    while True:
        try:
            number, request = parent.recv()
        except END_OF_FILE:
            return
        post = _Post(parent, number)
        log_to(post)
        post.put(_carried_out(serve, request, post))


def _carried_out(serve: Serve, request: object, post: Channel) -> Ended:
    try:
        return Ended(value=serve(request, post))
    except Interrupted:
        return Ended(stopped=True)
    except BaseException as error:  # noqa: BLE001 (who asked decides what it means)
        return Ended(error=_portable(error))


def _portable(error: BaseException) -> BaseException:
    """``error`` as it can be sent to another process, with where it came from."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
    except Exception:  # noqa: BLE001 (a library's errors are made in any way)
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
