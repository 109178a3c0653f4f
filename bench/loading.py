"""Loading libraries: what an import makes stays, some hundred thousand objects of it."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Within, nothing looks for garbage among what is imported, which takes a fifth of an import's time.

    Nor soon after: all that is there then counts as old.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            if not gc.get_freeze_count():  # nobody else has set anything apart, which would come back too
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def uncollected_at_exit() -> None:
    """As this process ends it looks for no garbage, which would take a second or two after a run.

    All its memory is given back in any case.
    """
    atexit.register(gc.freeze)
