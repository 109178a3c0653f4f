"""``bench`` in forked children of a process that has imported everything: a run starts at once, and may be
killed at once."""

import importlib
import logging
import os
import pkgutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

import adapters
import bench
from tests.torture.tiny import Place

WRITES = {
    "open",
    "os.rename",
    "os.mkdir",
    "os.remove",
    "tempfile.mkstemp",
    "tempfile.mkdtemp",
    "shutil.rmtree",
    "os.rmdir",
}

LEFT_OUT = (
    "__main__", "pytest_plugin", "executors.cluster", "executors.node", "torchattacks.translation",
    "torchattacks.workarounds",
)  # fmt: skip
"""Modules that act when they are imported, or that need Ray or a library that is an extra."""


def warm_up() -> None:
    """Import all that a run may: what a fork imported itself would come from the files as they are by then.

    A fork may not inherit running threads.
    """
    for package in (adapters, bench):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith(LEFT_OUT):
                importlib.import_module(module.name)
    import peft  # noqa: F401

    torch.set_num_threads(1)


@dataclass
class Child:
    """``bench`` in a child process."""

    pid: int
    log: Path

    def wait(self) -> int:
        """Its exit code; minus the signal's number if it was killed."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill_after(self, seconds: float, number: int = signal.SIGKILL) -> int:
        """Its exit code after ``number`` was sent to it, unless it ended before."""
        if (code := self.ends_within(seconds)) is not None:
            return code
        os.kill(self.pid, number)
        return self.wait()

    def ends_within(self, seconds: float) -> int | None:
        """Its exit code if it ends within so many ``seconds``."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.002)
        return None


def start(place: Place, *options: str, before: Callable[[], None] = lambda: None) -> Child:
    """Fork a ``bench run`` of the suite of ``place``; ``before`` runs in the child first."""
    return _fork(
        place, ["run", str(place.suite), "--results", str(place.results), "--device", "cpu", *options], before
    )


def reproduce(place: Place) -> Child:
    """Fork a ``bench reproduce`` of the one run of ``place``."""
    return _fork(place, ["reproduce", str(place.runs[0]), "--device", "cpu"], lambda: None)


def _fork(place: Place, arguments: list[str], before: Callable[[], None]) -> Child:
    log = place.folder / f"log-{len(list(place.folder.glob('log-*')))}.txt"
    log.touch()
    pid = os.fork()
    if pid:
        return Child(pid, log)
    code = 70
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        logging.root.handlers.clear()  # pytest's
        os.environ["BENCH_CACHE"] = str(place.cache)
        before()
        from bench.cli.commands import main

        code = main(arguments)
    except BaseException:  # noqa: BLE001 (the log shows it, the exit code tells it)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def kill_at_write(place: Place, number: int) -> Callable[[], None]:
    """A ``before`` that kills the child, or a worker of it, right before the ``number``-th file operation.

    Those of ``place`` are counted in all its processes: each takes a ticket, and one of these is the last.
    """

    def before() -> None:
        tickets, printed = os.pipe()
        os.set_blocking(tickets, False)
        os.write(printed, b"." * (number - 1) + b"!")

        def take() -> None:
            with suppress(BlockingIOError):  # all are taken: the one that took the last is gone
                if os.read(tickets, 1) == b"!":
                    os.kill(os.getpid(), signal.SIGKILL)

        _on_write(place, take)()

    return before


def count_writes(place: Place, tally: Path) -> Callable[[], None]:
    """A ``before`` after which ``tally`` grows by a byte with each operation on files of ``place``."""
    handle = os.open(tally, os.O_WRONLY | os.O_CREAT)
    return _on_write(place, lambda: os.write(handle, b"."))


def _on_write(place: Place, act: Callable[[], object]) -> Callable[[], None]:
    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in WRITES and any(str(place.folder) in str(argument) for argument in arguments):
            act()

    return lambda: sys.addaudithook(hook)
