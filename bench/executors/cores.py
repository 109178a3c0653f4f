"""Cores: how many a run may use, how many of them are free, and one thread for each process that uses one."""

import math
import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
STAT = Path("/proc/stat")
PATIENCE = 20
"""Seconds for a gradient of one number."""


@contextmanager
def one_thread(device: str) -> Iterator[None]:
    """Within, torch uses one thread on ``device`` "cpu": what a sum comes to depends on how it is cut up."""
    if device != "cpu":
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def can_fork() -> bool:
    """Whether a process with libraries loaded can be forked and go on computing: only Linux's can."""
    return sys.platform == "linux"


def forked_ones_compute() -> bool:
    """Whether a process forked from this one can compute a gradient.

    It cannot, on the CPU either, where torch sees a GPU and this process has computed one: so it is tried.
    """
    import torch

    if not torch.cuda.is_available():
        return True
    with warnings.catch_warnings():  # of threads: the child uses nothing that they may hold
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(PATIENCE)
            torch.ones(1, requires_grad=True).sum().backward()  # type: ignore[no-untyped-call]
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1] == 0


def allowed() -> int:
    """Cores that this process may use: those it is bound to, within the limit of its container."""
    return max(1, math.ceil(min(len(_bound()), _quota())))


class Load:
    """How busy the cores are that this process may use, from when this is made."""

    def __init__(self) -> None:
        self._then = self._now()

    def free(self) -> int:
        """Cores that nothing else has used meanwhile; at least one."""
        (before, busy_before, own_before), (now, busy, own) = self._then, self._now()
        elsewhere = (busy - busy_before) - (own - own_before)
        others = elsewhere / max(now - before, 1e-3)
        return max(1, min(allowed(), round(len(_bound()) - others)))

    def _now(self) -> tuple[float, float, float]:
        """The time, and the seconds that the cores, and this process with its children, have computed."""
        now, busy = time.monotonic(), _busy(_bound())
        own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return now, busy, sum(usage.ru_utime + usage.ru_stime for usage in own)


def _bound() -> set[int]:
    """The cores that this process is bound to. Only Linux says which."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _quota() -> float:
    """Cores' worth of time that the container of this process has; infinite where nothing limits it."""
    two, one = CGROUP / "cpu.max", CGROUP / "cpu"
    try:
        if two.is_file():
            quota, period = two.read_text(encoding="ascii").split()
        else:
            quota, period = (
                (one / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period")
            )
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    except (OSError, ValueError):  # "max" is not a number either
        return math.inf


def _busy(cores: set[int]) -> float:
    """Seconds that ``cores`` have computed, for anybody, since the machine started; 0 if it does not say."""
    try:
        lines = [line.split() for line in STAT.read_text(encoding="ascii").splitlines()]
    except OSError:
        return 0.0
    rows = [fields[1:] for fields in lines if fields and fields[0][:3] == "cpu" and fields[0][3:].isdecimal()]
    chosen = [row for core, row in enumerate(rows) if core in cores]
    # user, nice, system, idle, iowait, irq, softirq, steal; what comes then is counted in these
    ticks = sum(int(field) for row in chosen for i, field in enumerate(row[:8]) if i not in (3, 4))
    return ticks / os.sysconf("SC_CLK_TCK")
