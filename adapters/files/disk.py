"""Failures to write, as one kind of error that names the place, whichever library was writing."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Within, whatever is raised for a full or read-only disk is an OSError.

    Its file name is ``place``, if it has none of its own.
    """
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(place)
        raise
    except SafetensorError as error:
        number = re.search(r"(?:os error |code: )(\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(place)) from None
