"""The state of an unfinished training on disk: whole and of this version, or not used."""

import hashlib
import io
import logging
import os
import tempfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from adapters.backbones.weights import torch_reason
from adapters.files.disk import writing

STATE_VERSION = 2
"""Raised when what a state holds changes.

It stands before the state with the state's sha256, so that damage is found.
"""

log = logging.getLogger(__name__)


def write_state(file: Path, state: dict[str, Any]) -> None:
    """Replace ``file`` by ``state`` (tensors and plain values). Raises OSError if there is no room."""
    buffer = io.BytesIO()  # torch has its own words for a full disk
    torch.save(state, buffer)
    body = buffer.getvalue()
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=file.parent)
    try:
        with writing(file), os.fdopen(descriptor, "wb") as stream:
            stream.write(_seal(body) + b"\n")
            stream.write(body)
        Path(temporary).replace(file)
    finally:
        Path(temporary).unlink(missing_ok=True)


def read_state(file: Path) -> dict[str, Any] | None:
    """The state in ``file``; None, said aloud, where it cannot be used: the training then starts anew."""
    if not file.is_file():
        return None
    try:
        return _decode(file.read_bytes())
    except (OSError, EOFError, RuntimeError, ValueError, UnpicklingError) as error:
        log.warning(
            "%s: the unfinished training cannot be used (%s); it starts again", file, torch_reason(error)
        )
        return None


def _decode(data: bytes) -> dict[str, Any]:
    seal, _, body = data.partition(b"\n")
    if seal != _seal(body):
        raise ValueError("damaged, or of another version")
    state: dict[str, Any] = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    return state


def _seal(body: bytes) -> bytes:
    return f"training state {STATE_VERSION}, sha256 {hashlib.sha256(body).hexdigest()}".encode()
