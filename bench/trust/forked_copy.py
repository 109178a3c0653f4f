"""A question asked in a copy of this process: whatever the answer changes there, it does not change here."""

import io
import os
import signal
import warnings
from collections.abc import Callable
from typing import NoReturn

import torch
from torch import Tensor

LIMIT = 60.0
"""Seconds after which a copy that has not answered ends, even one that was left alone."""


def asked_elsewhere(ask: Callable[[], Tensor]) -> Tensor | None:
    """What ``ask`` gives in a fork of this process; None if there is no fork, or it fails or takes too long.

    The fork has all that this process holds, module globals and closures too. It has none of its threads, so
    that nothing in ``ask`` may run backward, and a GPU cannot be used in it.
    """
    if not hasattr(os, "fork"):
        return None
    receive, send = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads: none of theirs is needed there
        child = os.fork()
    if not child:
        _answer(ask, send)
    os.close(send)
    with os.fdopen(receive, "rb") as stream:
        answer = stream.read()
    try:
        _, status = os.waitpid(child, 0)
    except ChildProcessError:  # reaped by whoever this process belongs to
        return None
    return torch.load(io.BytesIO(answer), weights_only=True) if status == 0 else None


def _answer(ask: Callable[[], Tensor], send: int) -> NoReturn:
    """Send what ``ask`` gives and end this process, before anything of its parent's is done twice."""
    code = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, LIMIT)
        torch.set_num_threads(1)
        buffer = io.BytesIO()
        torch.save(ask(), buffer)
        with os.fdopen(send, "wb") as stream:
            stream.write(buffer.getbuffer())
        code = 0
    finally:
        os._exit(code)
