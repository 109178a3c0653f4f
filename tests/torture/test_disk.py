"""Disks really full or read-only: small file systems in memory, where this machine lets us mount them.

BENCH_TORTURE_SEED chooses how small and BENCH_TORTURE_DISKS how many of them there are.
"""

import os
import random
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.builders.figures import Figure
from tests.torture.forked import start, warm_up
from tests.torture.tiny import CELLS, Place

pytestmark = pytest.mark.slow
SEED = int(os.environ.get("BENCH_TORTURE_SEED", "0"))
DISKS = int(os.environ.get("BENCH_TORTURE_DISKS", "6"))
ROOMY = 512 * 1024
"""KiB that hold the whole run and its cache."""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A run that had room enough."""
    warm_up()
    place = Place(tmp_path_factory.mktemp("reference"))
    assert start(place).wait() == 0
    assert len(place.digests()) == CELLS
    return place


@contextmanager
def disk(folder: Path, kib: int) -> Iterator[None]:
    """A file system of ``kib`` KiB at ``folder``."""
    folder.mkdir(parents=True)
    options = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
    try:
        subprocess.run(options, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(
            f"this machine does not let us mount a file system: {getattr(error, 'stderr', error)}".strip()
        )
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def remount(folder: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)


def kib_of(folder: Path) -> int:
    return int(
        subprocess.run(["du", "-sk", str(folder)], check=True, capture_output=True, text=True).stdout.split()[
            0
        ]
    )


def test_full_disks(reference: Place, tmp_path: Path, figure: Figure) -> None:
    rng, expected = random.Random(SEED), reference.digests()
    told = lost = 0
    expected_end: tuple[bool, str, list[Path]] = (True, "complete", [])
    ended = []
    for number in range(DISKS):
        full = ("results", "cache")[number % 2]
        place = Place(tmp_path / str(number), cache=None if full == "cache" else reference.cache)
        with disk(place.folder / full, int(kib_of(getattr(reference, full)) * rng.uniform(0.05, 0.9))):
            child = start(place)
            assert child.wait() == 4, child.log.read_text()
            said = child.log.read_text()
            named = re.search(
                rf"^bench: {re.escape(str(place.folder / full))}\S*: cannot be written: No space left",
                said,
                re.M,
            )
            told += named is not None and "run the same command again" in said and "Traceback" not in said
            before = place.digests()
            remount(place.folder / full, f"size={ROOMY}k")
            assert start(place).wait() == 0
            after = place.digests()
            lost += sum(after.get(name) != digest for name, digest in before.items())
            ended.append((after == expected, place.header["status"], place.leftovers()))
    figure(
        f"2 full disks (seed {SEED}): {DISKS} injected, {told} named with exit code 4, {lost} finished cells"
        f" lost, {ended.count(expected_end)} runs of {DISKS} went on to the same bytes once there was room"
    )
    assert (told, lost) == (DISKS, 0)
    assert ended == [expected_end] * DISKS


def test_read_only_disks(reference: Place, tmp_path: Path, figure: Figure) -> None:
    expected, place = reference.digests(), Place(tmp_path / "results", cache=reference.cache)
    with disk(place.results, ROOMY):
        remount(place.results, "ro")
        child = start(place)
        assert child.wait() == 2
        assert f"{place.results}: cannot be written: Read-only file system" in child.log.read_text()
        remount(place.results, "rw")
        assert start(place).wait() == 0
        assert place.digests() == expected

    place = Place(tmp_path / "cache")
    with disk(place.cache, ROOMY):
        remount(place.cache, "ro")
        child = start(place)
        assert child.wait() == 4
        assert re.search(
            rf"bench: {place.cache}\S*: cannot be written: Read-only file system", child.log.read_text()
        )
        remount(place.cache, "rw")
        assert start(place).wait() == 0
        remount(place.cache, "ro")
        assert start(place, "--fresh").wait() == 0, (
            "trained models are used from where nothing can be written"
        )
        assert place.digests() == expected
    figure(
        "2 read-only disks: 2 injected (results, cache), 2 named; a read-only cache of trained models is used"
    )
