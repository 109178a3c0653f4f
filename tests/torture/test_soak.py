"""A suite many times in one process: memory stays flat, no file stays open, nothing stays in the temporary folder."""

import ctypes
import gc
import os
import tempfile
from pathlib import Path
from statistics import mean

import pytest

from bench.cli import main
from tests.torture.tiny import Place

pytestmark = pytest.mark.slow
ROUNDS = int(os.environ.get("BENCH_TORTURE_SOAK", "100"))


def resident() -> int:
    """Bytes of memory that this process has in use; what the allocator only keeps for later is given back first."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def handles() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_suite_many_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    place, temporary = Place(tmp_path / "place"), tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("BENCH_CACHE", str(place.cache))
    command = ["run", str(place.suite), "--results", str(place.results), "--device", "cpu", "--fresh", "-o", os.devnull]
    assert main(command) == 0  # trains, and torch makes its own folder for compiled code
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    sizes, opened = [], []
    for _ in range(ROUNDS):
        assert main(command) == 0
        sizes.append(resident())
        opened.append(handles())
    quarter = max(1, ROUNDS // 4)
    early, late = mean(sizes[quarter : 2 * quarter]), mean(sizes[-quarter:])
    growth = late / early - 1
    with capsys.disabled():
        print(
            f"\nsoak: {ROUNDS} runs in one process: {early / 1e6:.0f} MB in the second quarter, {late / 1e6:.0f} MB in the last"
            f" ({growth:+.1%}); {opened[quarter]} handles, then {opened[-1]}; {len(list(temporary.iterdir()))} temporary files"
        )
    assert growth < 0.05
    assert opened[-1] <= opened[quarter]
    assert list(temporary.iterdir()) == []
    assert place.leftovers() == []
