"""A suite many times in one process: memory stays flat, no file stays open, nothing stays in the temporary folder."""

import gc
import os
import tempfile
from pathlib import Path

import pytest

from bench.cli import main
from tests.torture.tiny import Place

pytestmark = pytest.mark.slow
ROUNDS = int(os.environ.get("BENCH_TORTURE_SOAK", "100"))


def resident() -> int:
    """Bytes of memory that this process has in use."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def handles() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_suite_many_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    place, temporary = Place(tmp_path / "place"), tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("BENCH_CACHE", str(place.cache))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    command = ["run", str(place.suite), "--results", str(place.results), "--device", "cpu", "--fresh", "-o", os.devnull]
    sizes, opened = [], []
    for _ in range(ROUNDS):
        assert main(command) == 0
        sizes.append(resident())
        opened.append(handles())
    settled = min(len(sizes) // 4, 10)
    growth = sizes[-1] / sizes[settled] - 1
    with capsys.disabled():
        print(
            f"\nsoak: {ROUNDS} runs in one process: {sizes[settled] / 1e6:.0f} MB after {settled + 1}, {sizes[-1] / 1e6:.0f} MB"
            f" at the end ({growth:+.1%}); {opened[settled]} handles, then {opened[-1]}; {len(list(temporary.iterdir()))}"
            " temporary files"
        )
    assert growth < 0.05
    assert opened[-1] == opened[settled]
    assert list(temporary.iterdir()) == []
    assert place.leftovers() == []
