"""JSON that anybody may have written, read with bounds on its size, depth and types.

Python's own reader takes NaN, keys that are given twice and nesting as deep as memory goes; pydantic's takes
``true`` for 1. Here every file that is not as we write it raises ValueError, and says where.
"""

import json
import math
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from bench.errors import dotted

T = TypeVar("T")
MAX_BYTES = 2**28
"""A reference of 10,000 cells over 10,000 samples has a fifth of it."""
MAX_VALUES = 5_000_000
"""Each takes about 100 bytes of memory: half a gigabyte in all."""
MAX_DEPTH = 64
LONGEST = 200
"""Characters of a reason."""


def read_bytes(file: Path) -> bytes:
    """The content of ``file``.

    Raises ValueError if it is not a regular file, or too large; OSError if it cannot be read.
    """
    facts = file.stat()
    if not stat.S_ISREG(facts.st_mode) and not stat.S_ISDIR(
        facts.st_mode
    ):  # of a directory the error says so itself
        raise ValueError("it is not a regular file")
    if facts.st_size > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES // 2**20} MiB")
    return file.read_bytes()


def parse(data: bytes | str) -> Any:
    """The JSON document ``data``.

    Raises ValueError if it is none, is larger than any of ours, or can be read in two ways.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    if sum(map(text.count, ",[{")) > MAX_VALUES:
        raise ValueError(f"it holds more than {MAX_VALUES:,} values")
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse, parse_float=_finite)
    except json.JSONDecodeError:
        raise ValueError("it is not JSON") from None
    except RecursionError:
        raise ValueError(_too_deep()) from None
    _check_depth(found)
    return found


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key '{key[:LONGEST]}' is given twice")
        found[key] = value
    return found


def _refuse(name: str) -> None:
    raise ValueError(f"it holds {name}, which is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"it holds {text[:LONGEST]}, which is larger than any number here")
    return value


def _too_deep() -> str:
    return f"it is nested more than {MAX_DEPTH} levels deep"


def _check_depth(found: Any) -> None:
    """Raise ValueError where ``found`` is nested too deeply for what walks through it."""
    level, depth = [found], 0
    while level:
        if depth > MAX_DEPTH:
            raise ValueError(_too_deep())
        level = [
            child
            for value in level
            if isinstance(value, dict | list)
            for child in (value.values() if isinstance(value, dict) else value)
            if isinstance(child, dict | list)
        ]
        depth += 1


def typed(kind: TypeAdapter[T], fields: Any) -> T:
    """``fields``, as ``parse`` gives them, as a value of ``kind``.

    Raises ValueError that names the first that does not fit.
    """
    try:
        return kind.validate_python(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = dotted(first["loc"])
        raise ValueError(f"{place}: {first['msg']}"[:LONGEST] if place else first["msg"][:LONGEST]) from None
