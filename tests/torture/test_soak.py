"""The default suite many times in one process: flat memory, no file left open, no temporary file left.

BENCH_TORTURE_SOAK says how often on a few samples, BENCH_TORTURE_WHOLE how often on all of them after that.
"""

import ctypes
import gc
import os
import shutil
import tempfile
from pathlib import Path
from statistics import mean

import pytest

from bench.cli.commands import main
from bench.suite.suite import shipped_suites
from tests.builders.figures import Figure
from tests.torture.tiny import Place

pytestmark = pytest.mark.slow
ROUNDS = int(os.environ.get("BENCH_TORTURE_SOAK", "100"))
WHOLE = int(os.environ.get("BENCH_TORTURE_WHOLE", "2"))
SAMPLES, ALL_SAMPLES = "5", "150"
"""Of the suite's ALL_SAMPLES: what is leaked, is leaked by a run, a unit or an attack, not by a sample."""


def resident() -> int:
    """Bytes of memory that this process uses; what the allocator only keeps for later is given back first."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def handles() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def default_suite(samples: str) -> str:
    """The default suite, with every model, attack, eps and library, on as many ``samples`` as given."""
    text = next(path for path in shipped_suites() if path.stem == "fgsm_pgd").read_text(encoding="utf-8")
    assert text.count(f"samples: {ALL_SAMPLES}") == 1
    return text.replace(f"samples: {ALL_SAMPLES}", f"samples: {samples}")


def test_the_default_suite_many_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    few, whole = (
        Place(tmp_path / "place" / samples, default_suite(samples), tmp_path / "cache")
        for samples in (SAMPLES, ALL_SAMPLES)
    )
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("BENCH_CACHE", str(few.cache))

    def run(place: Place) -> int:
        return main(
            [
                "run",
                str(place.suite),
                "--results",
                str(place.results),
                "--device",
                "cpu",
                "--fresh",
                "-o",
                os.devnull,
            ]
        )

    assert run(few) == 0  # trains, and torch makes its own folder for compiled code
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    sizes, opened = [], []
    for _ in range(ROUNDS):
        assert run(few) == 0
        shutil.rmtree(few.results)
        sizes.append(resident())
        opened.append(handles())
    for _ in range(WHOLE):
        assert run(whole) == 0
    quarter = max(1, ROUNDS // 4)
    early, late = mean(sizes[quarter : 2 * quarter]), mean(sizes[-quarter:])
    growth = late / early - 1
    left = [*temporary.iterdir(), *few.leftovers(), *whole.leftovers()]
    figure(
        f"7 soak: the default suite {ROUNDS} times in one process on {SAMPLES} samples, then {WHOLE} times on"
        f" {ALL_SAMPLES}: {sizes[0] / 1e6:.0f} MB after the first round, {early / 1e6:.0f} MB in the second"
        f" quarter, {late / 1e6:.0f} MB in the last ({growth:+.1%}); {opened[0]} handles, then {opened[-1]},"
        f" then {handles()}; {len(left)} temporary files"
    )
    assert growth < 0.05
    assert max(opened[-1], handles()) <= opened[0]
    assert left == []
