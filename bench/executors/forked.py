"""Processes forked from this one have all it has loaded, and share its memory until they write to it."""

import ctypes
import gc
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import NoReturn

from bench.errors import Exit

PR_SET_PDEATHSIG = 1
"""Of prctl(2): a signal for when the parent dies."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of mallopt(3)."""
LARGE = 2**25
"""Bytes from which an allocation goes back to the system once it is freed; mallopt(3) names none higher."""
KEPT = 2**27
"""Free bytes that a process keeps for what it allocates next."""

_ours: set[Connection] = set()
"""The ends of connections that are this process's alone.

A forked one closes its copies, or nobody would see an end of file.
"""


def fork(be: Callable[[], None], ours: Connection, theirs: Connection) -> int:
    """The id of a process that does ``be`` and ends; it dies if this one does.

    Two ends of a connection: ``ours`` stays this process's alone, ``theirs`` becomes the other's.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    _ours.add(ours)
    parent = os.getpid()
    with (
        warnings.catch_warnings()
    ):  # of threads, which a notebook has: the child uses nothing that they may hold
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        _live(be, parent)
    theirs.close()
    return pid


def close(ours: Connection) -> None:
    """Close ``ours``: the end of file tells the other process to end."""
    _ours.discard(ours)
    ours.close()


def end(pid: int, ours: Connection) -> int:
    """Close ``ours``, kill the process ``pid`` and wait for it; see ``ended``."""
    close(ours)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return ended(pid)


def ended(pid: int) -> int:
    """The exit code of the process ``pid``, once it has ended.

    That is minus the signal's number if it was killed.
    """
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def settle_memory() -> None:
    """Make ready to be forked: give back what is free, and let no collection touch what will be shared.

    What one touches is copied. What the forked ones free they keep, since a page that was given back has to
    be filled with zeros again: 3 % of the default suite's CPU time in two workers.
    """
    gc.freeze()
    libc = ctypes.CDLL(None)
    libc.malloc_trim(0)
    libc.mallopt(M_MMAP_THRESHOLD, LARGE)
    libc.mallopt(M_TRIM_THRESHOLD, KEPT)


def _live(be: Callable[[], None], parent: int) -> NoReturn:
    code = Exit.CRASH
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            for connection in _ours:
                connection.close()
            _ours.clear()
            sys.stdout, sys.stderr = (
                sys.__stdout__,
                sys.__stderr__,
            )  # bars on a terminal are the parent's, with their lock
            be()
            code = Exit.OK
    except BaseException:  # noqa: BLE001 (nothing may go on in what was the parent's code)
        traceback.print_exc()
    finally:
        with suppress(Exception):  # nobody may be left to read
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
