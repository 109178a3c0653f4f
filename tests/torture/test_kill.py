"""SIGKILL at random moments: what is finished stays; the end is byte for byte that of a run nobody killed.

BENCH_TORTURE_SEED chooses the moments and BENCH_TORTURE_KILLS how many there are; BENCH_TORTURE_POINTS gives
them instead, as a list of "w12" (before the 12th operation on a file) and "t0.8" (after 0.8 seconds).
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.figures import Figure
from tests.torture.forked import count_writes, kill_at_write, start, warm_up
from tests.torture.tiny import CELLS, UNITS, Place

pytestmark = pytest.mark.slow
SEED = int(os.environ.get("BENCH_TORTURE_SEED", "0"))
KILLS = int(os.environ.get("BENCH_TORTURE_KILLS", "50"))
POINTS = os.environ.get("BENCH_TORTURE_POINTS", "").split()


def run_with_kill(place: Place, point: str) -> int:
    if point.startswith("w"):
        return start(place, before=kill_at_write(place, int(point[1:]))).wait()
    return start(place).kill_after(float(point[1:]))


def finished(place: Place) -> dict[str, tuple[int, int]]:
    """The cells that run.json calls finished, each with its file's identity: a new one if computed again."""
    if not place.runs:
        return {}
    files = {
        c["key"]: place.runs[0] / "cells" / f"{c['key']}.parquet"
        for c in place.header["cells"]
        if c["status"] == "ok"
    }
    return {key: (file.stat().st_ino, file.stat().st_mtime_ns) for key, file in files.items()}


def trained(place: Place) -> dict[str, tuple[int, int]]:
    """The models that are in the cache, each with its identity."""
    return {
        s.parent.name: (s.stat().st_ino, 0)
        for s in place.cache.glob("*/*/SHA256SUMS")
        if s.parent.name[0] != "."
    }


def draw_points(seconds: float, operations: int) -> Iterator[str]:
    rng = random.Random(SEED)
    while True:
        yield f"t{rng.uniform(0, seconds):.3f}"
        yield f"w{rng.randint(1, operations)}"


def test_killed_anywhere_loses_nothing(tmp_path: Path, figure: Figure) -> None:
    warm_up()
    untouched, tally = Place(tmp_path / "untouched"), tmp_path / "operations"
    started = time.monotonic()
    assert start(untouched, before=count_writes(untouched, tally)).wait() == 0
    points = iter(POINTS) if POINTS else draw_points(time.monotonic() - started, tally.stat().st_size)
    expected = untouched.digests()
    assert len(expected) == CELLS

    killed, lost, again, survived, ended = Counter[str](), 0, 0, 0, 0
    place = Place(tmp_path / "killed-0")
    while killed.total() < KILLS and (point := next(points, None)) is not None:
        before = {**finished(place), **trained(place)}
        code = run_with_kill(place, point)
        said = max(place.folder.glob("log-*"), key=lambda log: log.stat().st_mtime_ns).read_text()
        assert code in (0, -signal.SIGKILL), f"{point}: {said}"
        after = {**finished(place), **trained(place)}
        lost += len(before.keys() - after.keys())
        again += sum(after.get(key, identity) != identity for key, identity in before.items())
        if code == 0:
            assert place.digests() == expected
            if "a worker was lost" in said:
                killed["a worker"] += 1
                survived += 1
            ended += 1
            place = Place(tmp_path / f"killed-{ended}")
        else:
            killed[point[0]] += 1
            digests = place.digests()
            survived += all(
                expected[f"{key}.parquet"] == digests[f"{key}.parquet"] for key in finished(place)
            )
    assert start(place).wait() == 0
    assert place.digests() == expected
    assert place.header["status"] == "complete"
    assert place.leftovers() == []
    figure(
        f"1 kill anywhere (seed {SEED}): {survived} survived of {killed.total()} kills tried ({killed['t']}"
        f" by the clock, {killed['w']} at a file operation, {killed['a worker']} of a worker at one); {lost}"
        f" cells or models lost, {again} computed again; {ended + 1} runs of {UNITS} units ended byte for"
        " byte like the one that nobody killed"
    )
    assert (lost, again) == (0, 0)
    assert survived == killed.total() > 0
