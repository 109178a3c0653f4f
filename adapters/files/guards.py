"""What is asked of a stranger's file before reading it: a guard per kind of reading; all raise ModelError."""

import json
import re
import zipfile
from pathlib import Path
from typing import Any

from adapters.errors import ModelError

MAX_JSON = 2**20
"""Bytes of a configuration: peft writes some 2 kB, or 20 kB where it lists every layer of a large network."""
MAX_DEPTH = 32
MAX_REPEATS = 3
"""Repetitions in a pattern: any length of each may be tried, so the cost is a name's length to this power."""
MAX_PATTERNS = 16
"""Keys with repetitions in a dictionary of patterns, each of which is tried on each layer."""
SHOWN = 200
"""Characters of a name or pattern that an error shows."""

_PART = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?:|\(\?|[*+?]\??|\{[\d,]*\}\??|.", re.DOTALL)
_REPEATS = ("*", "+", "?", "{")


def is_there(file: Path) -> bool:
    """Whether ``file`` is a file; a name that no file can have is none."""
    try:
        return file.is_file()
    except (OSError, ValueError):  # too long, or with a zero byte
        return False


def brief(text: object) -> str:
    """``text`` for an error: its middle is left out where it is long."""
    said = str(text)
    return said if len(said) <= SHOWN else f"{said[: SHOWN // 2]}...{said[-SHOWN // 2 :]}"


def read_json(file: Path) -> dict[str, Any]:
    """The object in ``file``. Raises ModelError if there is none."""
    try:
        with file.open("rb") as opened:
            return parse_json(opened.read(MAX_JSON + 1), file)
    except OSError as error:
        raise ModelError(f"{file}: cannot be read ({error.strerror})") from None


def parse_json(data: bytes, where: object) -> dict[str, Any]:
    """The object that ``data`` is, of bounded size and depth.

    Raises ModelError, which names ``where``, if it is none.
    """
    if len(data) > MAX_JSON:
        raise ModelError(f"{where}: not a configuration: larger than {MAX_JSON:,} bytes")
    try:
        text = data.decode("utf-8")
        if _depth(text) > MAX_DEPTH:
            raise ModelError(
                f"{where}: not a configuration: its lists and objects are nested more than {MAX_DEPTH} deep"
            )
        found = json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        raise ModelError(
            f"{where}: not whole JSON ({brief(error)}); copy it again if it is whole elsewhere"
        ) from None
    if not isinstance(found, dict):
        raise ModelError(
            f"{where}: not an object of names and values; copy it again if it is whole elsewhere"
        )
    return found


def _depth(text: str) -> int:
    """How deep the brackets of ``text`` are nested, those in strings not counted."""
    depth = deepest = 0
    for bracket in re.finditer(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', text, re.DOTALL):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(bracket[0], 0)
        deepest = max(deepest, depth)
    return deepest


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def check_zip(file: Path) -> None:
    """Raise ModelError if the archive in ``file`` is code, or unpacks larger: torch.save never compresses."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ModelError(
            f"{file}: not a whole weights file ({brief(error)}); copy or download it again if it is whole"
            " elsewhere"
        ) from None
    if any(entry.filename.endswith("/constants.pkl") for entry in entries):
        raise ModelError(
            f"{file}: a TorchScript archive, which is code; save the model's state_dict() instead"
        )
    size, declared = file.stat().st_size, sum(entry.file_size for entry in entries)
    if declared > size or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ModelError(
            f"{file}: refused, since its {size:,} bytes declare {declared:,} once unpacked; torch.save"
            " compresses nothing: save the state dict again"
        )


def check_pattern(pattern: str, repeats: int = MAX_REPEATS) -> bool:
    """Whether ``pattern`` repeats anything.

    Raises ValueError unless it is a regular expression that is quick on every name. Slow ones repeat a group
    (``(a+)+``), or choose many times over (``a?a?a?...``): neither is needed to name layers.
    """
    parts = _PART.findall(pattern)
    found = [i for i, part in enumerate(parts) if part.startswith(_REPEATS)]
    groups = [i for i in found if i and parts[i - 1] == ")" and not parts[i].startswith("?")]
    special = [part for part in parts if re.fullmatch(r"\(\?|\\[1-9]", part)]
    if groups or special or len(found) > repeats:
        raise ValueError(f"'{brief(pattern)}' could take forever to match; list the layers' names instead")
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"'{brief(pattern)}' is not a regular expression: {brief(error)}") from None
    return bool(found)


def check_patterns(patterns: list[str]) -> None:
    """Raise ValueError unless all ``patterns`` (dictionary keys) are quick; peft lets each begin anywhere."""
    if sum(check_pattern(pattern, MAX_REPEATS - 1) for pattern in patterns) > MAX_PATTERNS:
        raise ValueError(
            f"more than {MAX_PATTERNS} patterns with repetitions; list the layers' names instead"
        )
