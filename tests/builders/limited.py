"""Work that must cost little: done in a child that the kernel ends if it takes more."""

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path


def ends_within(megabytes: int, seconds: int, work: Callable[[], bool]) -> bool:
    """Whether ``work`` gives True in a child that may take so much more memory and CPU time than this
    process has taken."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            spent = int(time.process_time())
            resource.setrlimit(resource.RLIMIT_AS, (now + megabytes * 2**20,) * 2)
            resource.setrlimit(resource.RLIMIT_CPU, (spent + seconds,) * 2)
            code = int(not work())
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
