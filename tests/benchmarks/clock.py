"""The clock of the benchmarks: CPU seconds, which other work hardly changes; on a GPU those of the wall."""

import gc
import time
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")


def timed(call: Callable[[], T], device: torch.device) -> tuple[float, T]:
    """Seconds that ``call`` takes, all that it started on ``device`` included, and what it gives."""
    gc.collect()
    on_gpu = device.type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time
    started = clock()
    given = call()
    if on_gpu:
        torch.cuda.synchronize(device)
    return clock() - started, given
