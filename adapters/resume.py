"""The state of an unfinished training on disk: whole, or not there."""

import logging
import os
import tempfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

log = logging.getLogger(__name__)


def write_state(file: Path, state: dict[str, Any]) -> None:
    """Replace ``file`` by ``state`` (tensors and plain values)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            torch.save(state, stream)
        Path(temporary).replace(file)
    finally:
        Path(temporary).unlink(missing_ok=True)


def read_state(file: Path) -> dict[str, Any] | None:
    """The state in ``file``; None, said aloud, where it cannot be read: the training then starts anew."""
    if not file.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, UnpicklingError) as error:
        log.warning("%s: the unfinished training cannot be read (%s); it starts anew", file, error)
        return None
    return state
