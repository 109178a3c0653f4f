"""Time limits that hold: on Python code, and on native code that never returns."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.errors import Exit

GRACE = 10.0
"""Seconds that native code may run on beyond the limit before the whole process is ended."""


class TimeLimitError(BaseException):
    """The limit is over. No library's ``except Exception`` catches it."""


@contextmanager
def time_limit(seconds: float | None, give_up: Callable[[], None]) -> Iterator[None]:
    """Raise TimeLimitError in the main thread once ``seconds`` have passed; None sets no limit.

    Python raises it between two bytecodes, so code that hangs inside native code never sees it: after GRACE
    more seconds ``give_up`` stores what there is to store, and the process ends with the exit code of an
    incomplete run.
    """
    if seconds is None:
        yield
        return
    running = True

    def expire(*_: object) -> None:
        if running:
            raise TimeLimitError

    def end_process() -> None:
        give_up()
        os._exit(Exit.INCOMPLETE)

    watchdog = threading.Timer(seconds + GRACE, end_process)
    watchdog.daemon = True
    before = signal.signal(signal.SIGALRM, expire)
    watchdog.start()
    # Again each second: a library that swallows even this one does not get away with it.
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3), 1.0)
    try:
        yield
    finally:
        running = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        watchdog.cancel()
        signal.signal(signal.SIGALRM, before)
