"""Bytes that carry their own checksum: the sha256 of all of them with the checksum itself blanked.

So a change of any byte is found, and a file can be trusted without anything beside it.
"""

import hashlib
import json
from typing import Any

from bench.eps import eps_to_json
from bench.store.strangers import parse

BLANK = b"0" * 64
FIELD = "sha256"


class BrokenFileError(Exception):
    """The bytes are not what was written. The message says in which way."""


def seal(data: bytes, place: int) -> bytes:
    """``data`` with its checksum instead of the BLANK at ``place``."""
    return data[:place] + hashlib.sha256(data).hexdigest().encode() + data[place + len(BLANK) :]


def check(data: bytes, checksum: str) -> None:
    """Raise BrokenFileError unless ``checksum``, which stands in ``data``, is that of ``data``."""
    if hashlib.sha256(data.replace(checksum.encode(), BLANK, 1)).hexdigest() != checksum:
        raise BrokenFileError("damaged: its checksum does not match")


def to_json(fields: dict[str, Any]) -> bytes:
    """``fields`` as JSON that begins with its checksum."""
    data = json.dumps({FIELD: BLANK.decode(), **fields}, indent=1, default=eps_to_json).encode() + b"\n"
    return seal(data, data.index(BLANK))


def from_json(data: bytes) -> tuple[Any, bool]:
    """What ``to_json`` was given, and True.

    What has no checksum comes back as it is, with False: the caller decides.

    Raises BrokenFileError if ``data`` is not JSON or its checksum does not match.
    """
    try:
        found = parse(data)
        if not isinstance(found, dict) or FIELD not in found:
            return found, False
        check(data, str(found.pop(FIELD)))
    except ValueError as error:
        raise BrokenFileError(f"truncated or damaged: {error}") from None
    return found, True
