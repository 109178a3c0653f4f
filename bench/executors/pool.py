"""Tasks in worker processes: so many at a time, each in a child of the host that has loaded what it needs."""

import logging
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any

from bench.engine import interrupt
from bench.engine.interrupt import Interrupted
from bench.executors.host import END_OF_FILE, Ended, Host, Serve, Up, start_host
from bench.executors.messages import Reader

POLL = 0.2
"""Seconds after which a signal is seen in which nothing else happens."""
TRIES = 3
"""How often a task is started whose process is lost each time: what kills it by itself ends as an error."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """A ``request`` to the host ``where``; ``tries`` is how often it has been started, of ``most`` times."""

    request: Any
    where: Hashable = None
    tries: int = 0
    most: int = TRIES


@dataclass
class Pool:
    """At most ``workers`` tasks at a time.

    ``make`` gives, in the host itself, what carries out the requests to it. Where no task waits for a free
    worker, ``spare`` may give one: it gets those that run.
    """

    workers: int
    make: Callable[[Any], Serve]
    reader: Reader
    spare: Callable[[list[Task]], Task | None] = lambda _: None
    _waiting: list[Task] = field(default_factory=list)
    _running: dict[int, Task] = field(default_factory=dict)
    _hosts: dict[Hashable, Host] = field(default_factory=dict)
    _dismissed: list[Host] = field(default_factory=list)
    _started: int = 0

    def __enter__(self) -> "Pool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all processes, whatever they are at."""
        for host in self._hosts.values():
            host.end()
        for host in self._dismissed:
            host.wait()
        self._hosts.clear()
        self._dismissed.clear()

    def add(self, task: Task, *, first: bool = False) -> None:
        """Let ``task`` be carried out after those that wait already, or ``first``."""
        self._waiting.insert(0 if first else len(self._waiting), task)

    def ended(self) -> Iterator[tuple[Task, Ended]]:
        """Each task as it ends; more may be added meanwhile.

        One whose process is lost is tried again, as often as it may be.

        Raises Interrupted if the run is asked to stop, once all that run have ended or stored what they have.
        """
        while self._waiting or self._running:
            self._start()
            for host in self._speaking():
                for task, ended in self._heard(host):
                    if not self._tried_again(task, ended):
                        yield task, ended
            self._close_idle()
            self._dismissed = [host for host in self._dismissed if not host.has_ended()]
            try:
                interrupt.check()
            except Interrupted:
                yield from self._stopped()
                raise

    def _tried_again(self, task: Task, ended: Ended) -> bool:
        """Whether ``task`` waits again, after all others: memory that ran out may then be there."""
        if not ended.is_lost or task.tries == task.most:
            return False
        log.warning(
            "a worker was lost (%s); its task is tried again (%d of %d)",
            ended.fate,
            task.tries + 1,
            task.most,
        )
        self.add(task)
        return True

    def _start(self) -> None:
        """Start what waits, in order, as far as there are workers; not what a host is still starting for."""
        while len(self._running) < self.workers and (task := self._next()) is not None:
            if task.where not in self._hosts:
                self._hosts[task.where] = start_host(partial(self.make, task.where))
            self._started += 1
            self._running[self._started] = replace(task, tries=task.tries + 1)
            self._hosts[task.where].ask(self._started, task.request)

    def _next(self) -> Task | None:
        """What to start now, which waits no longer."""
        if not self._waiting:
            task = self.spare(list(self._running.values()))
            return task if task is not None and self._can_start(task) else None
        task = next((waiting for waiting in self._waiting if self._can_start(waiting)), None)
        if task is not None:
            self._waiting.remove(task)
        return task

    def _can_start(self, task: Task) -> bool:
        """Whether no worker would wait: its host is up, or has yet to be started, which is done for it."""
        return task.where not in self._hosts or self._hosts[task.where].up

    def _speaking(self) -> list[Host]:
        ready = wait([host.connection for host in self._hosts.values()], POLL)
        return [host for host in self._hosts.values() if host.connection in ready]

    def _heard(self, host: Host) -> Iterator[tuple[Task, Ended]]:
        """The task that ``host`` says the end of, or all that it was at if it has died."""
        try:
            number, event = host.read()
        except END_OF_FILE:
            self._hosts = {where: other for where, other in self._hosts.items() if other is not host}
            code = host.end()
            yield from [(self._running.pop(number), Ended(lost=code)) for number in sorted(host.running)]
            return
        if isinstance(event, Ended) and number is not None:
            yield self._running.pop(number), event
        elif not isinstance(event, Up | Ended):
            self.reader.read(event)

    def _close_idle(self) -> None:
        needed = {task.where for task in [*self._waiting, *self._running.values()]}
        for where in self._hosts.keys() - needed:
            self._dismissed.append(self._hosts.pop(where))
            self._dismissed[-1].dismiss()

    def _stopped(self) -> Iterator[tuple[Task, Ended]]:
        """Ask all that run to stop; those that have been carried out all the same.

        A second signal ends the wait.
        """
        for host in self._hosts.values():
            host.stop()
        while self._hosts:
            for host in self._speaking():
                yield from (one for one in self._heard(host) if one[1].is_done)
