"""One process at a time: a lock file that names its owner.

The kernel frees the lock when its owner ends, however it ends, so that a lock file left behind holds nobody
up. Where a file system has no such locks, filelock falls back to a file with the owner's process id and takes
it over once that process is gone.
"""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from adapters.files.disk import writing

PATIENCE = 2.0
"""Seconds of waiting that are not worth a word: as long as others write a file each."""

log = logging.getLogger(__name__)


@contextmanager
def held(file: Path, what: str | None) -> Iterator[None]:
    """Hold the lock ``file`` of ``what``, waiting while another process does.

    Says once who that is, if it takes long; nothing where nobody would ask ``what`` it is.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file)
    try:
        lock.acquire(timeout=-1 if what is None else PATIENCE)
    except Timeout:
        log.warning("%s: waiting for %s", what, _owner(file))
        lock.acquire()
    try:
        _sign(file)
        yield
    finally:
        lock.release()


@contextmanager
def claimed(file: Path) -> Iterator[bool]:
    """Hold the lock ``file`` if nobody does; yields whether it is held."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        _sign(file)
        yield True
    finally:
        lock.release()


def _sign(file: Path) -> None:
    with writing(file):
        file.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")


def _owner(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip() or "another process"
