"""Goldens: the whole output, as committed.

BENCH_UPDATE_GOLDENS=1 writes them anew; look at the diff before you commit it.
"""

import os
import re
from importlib.metadata import version
from pathlib import Path

from packaging.version import Version

FOLDER = Path(__file__).parent.parent / "goldens"
PADS_OTHERWISE = Version(version("rich")) < Version("14.3")
"""Earlier releases pad the outer columns of a table by a space more: only widths differ."""


def assert_golden(name: str, text: str) -> None:
    """``text`` is what tests/goldens/``name`` holds."""
    file = FOLDER / name
    if os.environ.get("BENCH_UPDATE_GOLDENS"):
        file.write_text(text, encoding="utf-8")
    if PADS_OTHERWISE and file.suffix == ".txt":
        assert _squeezed(text) == _squeezed(file.read_text(encoding="utf-8")), f"{file} differs in words"
        return
    assert text == file.read_text(encoding="utf-8"), f"{file} differs; BENCH_UPDATE_GOLDENS=1 writes it anew"


def _squeezed(text: str) -> str:
    """``text`` whatever the widths of its columns."""
    return re.sub(r"─+", "─", re.sub(r" +", " ", text))
