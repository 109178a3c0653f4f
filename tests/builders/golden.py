"""Goldens: the whole output, as committed.

BENCH_UPDATE_GOLDENS=1 writes them anew; look at the diff before you commit it.
"""

import os
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "goldens"


def assert_golden(name: str, text: str) -> None:
    """``text`` is what tests/goldens/``name`` holds."""
    file = FOLDER / name
    if os.environ.get("BENCH_UPDATE_GOLDENS"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), f"{file} differs; BENCH_UPDATE_GOLDENS=1 writes it anew"
