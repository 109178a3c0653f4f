"""JSON documents as damage, strangers and other programs leave them: a sound document with one change."""

import json
import random
from collections.abc import Iterator
from typing import Any

Path = tuple[str | int, ...]
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**64, 10**400, 0.5, -0.0, 1e308, "", "x", "0", "true", "é" * 3,
    "\ud800", "\x00", "../x", "a" * 5000, "8/255", "1/0", "nan", [], [[]], [None], ["x"], [1, "x"], {},
    {"x": 1}, {"": None}, [{}],
]  # fmt: skip
"""What stands where something else was expected."""
RAW = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "9" * 5000,
    '"\\ud800"',
    "[" * 5000 + "]" * 5000,
    '{"a":1,"a":2}',
    "nul",
    "+1",
]
"""What Python would not write."""
MARK = "\u2603mark\u2603"


def places(document: Any, at: Path = ()) -> Iterator[Path]:
    """Every place in ``document``."""
    yield at
    pairs = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document)
        if isinstance(document, list)
        else ()
    )
    for key, value in pairs:
        yield from places(value, (*at, key))


def mutated(document: Any, rng: random.Random) -> tuple[str, bytes]:
    """What was done to ``document``, which stays as it is, and the bytes of the result."""
    copy = json.loads(json.dumps(document))
    at = _somewhere(copy, rng)
    how = rng.choice(("odd", "odd", "odd", "raw", "drop", "twice", "swap", "text", "text"))
    if how == "text":
        return _damaged(json.dumps(copy).encode(), rng)
    if not at:
        return (
            f"all of it is {how}",
            (RAW[rng.randrange(len(RAW))] if how == "raw" else json.dumps(rng.choice(ODD))).encode(),
        )
    parent, key = _parent(copy, at), at[-1]
    if how == "drop":
        del parent[key]
    elif how == "twice" and isinstance(parent, list):
        parent.append(parent[int(key)])
    elif how == "swap":
        other = _parent(copy, beside := _somewhere(copy, rng, least=1))
        parent[key], other[beside[-1]] = other[beside[-1]], parent[key]
    elif how == "odd":
        parent[key] = rng.choice(ODD)
    else:
        parent[key] = MARK
    raw = rng.choice(RAW)
    return f"{how} at {at}", _text(copy).replace(json.dumps(MARK), raw).encode()


def _text(document: Any) -> str:
    try:
        return json.dumps(document)
    except ValueError:  # a swap has put a part into itself
        return "[]"


def _somewhere(document: Any, rng: random.Random, least: int = 0) -> Path:
    """A place, as likely near the root as deep below it."""
    at: Path = ()
    here = document
    while isinstance(here, dict | list) and here and (len(at) < least or rng.random() < 0.8):
        key = rng.choice(list(here)) if isinstance(here, dict) else rng.randrange(len(here))
        at, here = (*at, key), here[key]
    return at


def _parent(document: Any, at: Path) -> Any:
    for key in at[:-1]:
        document = document[key]
    return document


def _damaged(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    place = rng.randrange(len(data))
    return rng.choice([
        (f"cut at {place}", data[:place]),
        (f"a byte at {place}", data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]),
        (
            f"a bit at {place}",
            data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :],
        ),
        (f"64 bytes lost at {place}", data[:place] + data[place + 64 :]),
        ("UTF-16", data.decode().encode("utf-16")),
        ("a byte order mark", b"\xef\xbb\xbf" + data),
        ("written twice", data + data),
    ])  # fmt: skip
