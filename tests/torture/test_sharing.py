"""Two runs at once, runs that are asked to stop, and a cache that is damaged: as users meet them, through
the command line."""

import os
import random
import re
import shutil
import signal
from pathlib import Path

import pytest

from tests.builders.figures import Figure
from tests.torture.forked import start, warm_up
from tests.torture.tiny import CELLS, Place

pytestmark = pytest.mark.slow
SEED = int(os.environ.get("BENCH_TORTURE_SEED", "0"))
TRAININGS = 3


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A run that nothing happened to."""
    warm_up()
    place = Place(tmp_path_factory.mktemp("reference"))
    assert start(place).wait() == 0
    assert len(place.digests()) == CELLS
    return place


def test_two_at_once_share_one_run(reference: Place, tmp_path: Path, figure: Figure) -> None:
    place = Place(tmp_path)
    children = [start(place), start(place)]
    assert [child.wait() for child in children] == [0, 0]
    said = "".join(child.log.read_text() for child in children)
    trainings = len(re.findall(r"^trained .*: \d+ epochs", said, re.MULTILINE))
    figure(
        f"3 two at once: both finished, {trainings} trainings of {TRAININGS} models, {len(place.digests())}"
        f" of {CELLS} cells"
    )
    assert trainings == TRAININGS
    assert place.digests() == reference.digests()
    assert place.header["status"] == "complete"
    assert place.leftovers() == []


def test_one_of_two_is_killed_and_the_other_ends_its_work(reference: Place, tmp_path: Path) -> None:
    place, rng = Place(tmp_path, cache=reference.cache), random.Random(SEED)
    first, second = start(place), start(place)
    first.kill_after(rng.uniform(0.2, 3))
    assert second.wait() == 0
    assert place.digests() == reference.digests()
    assert place.header["status"] == "complete"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_stop(number: int, code: int, reference: Place, tmp_path: Path, figure: Figure) -> None:
    place, rng = Place(tmp_path), random.Random(SEED)
    stopped = 0
    for _ in range(4):
        child = start(place)
        ended = child.kill_after(rng.uniform(0.2, 3), number)
        assert ended in (0, code)
        stopped += ended == code
        if ended == code:
            said = child.log.read_text()
            assert f"interrupted ({signal.Signals(number).name})" in said
            assert "the same command goes on from there" in said
            assert "Traceback" not in said
    assert start(place).wait() == 0
    assert place.digests() == reference.digests()
    figure(
        f"1 {signal.Signals(number).name}: {stopped} runs stopped with exit code {code}, none lost anything"
    )
    assert stopped > 0


def test_a_damaged_cache_is_named_and_made_anew(reference: Place, tmp_path: Path, figure: Figure) -> None:
    place = Place(tmp_path, cache=reference.cache)
    files = sorted(
        file for file in reference.cache.glob("*/*/**/*") if file.is_file() and file.name != "SHA256SUMS"
    )
    found = 0
    for file in random.Random(SEED).sample(files, 4):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        child = start(place, "--fresh")
        assert child.wait() == 0
        found += f"damaged ({file.relative_to(folder_of(file))})" in child.log.read_text()
        assert place.digests() == reference.digests()
    figure(f"2 damaged cache files: 4 planted, {found} found and rebuilt")
    assert found == 4


def test_a_damaged_run_is_named_and_mended_by_the_same_command(
    reference: Place, tmp_path: Path, figure: Figure
) -> None:
    rng, place = random.Random(SEED), Place(tmp_path, cache=reference.cache)
    assert start(place).wait() == 0
    named = again = 0
    for pattern in ["*/*/run.json", "*/*/trust/*.json"] * 3:
        file = max(place.results.glob(pattern))
        data = bytearray(file.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        file.write_bytes(data)
        child = start(place)
        assert child.wait() == 0
        said = child.log.read_text()
        named += f"{file}: " in said
        again += len(re.findall(r"^\[\d+/\d+\] ", said, re.MULTILINE))
        if file.name == "run.json":
            shutil.rmtree(file.parent)
        assert place.digests() == reference.digests()
        assert place.header["status"] == "complete"
    figure(
        f"2 damaged run.json and evidence (seed {SEED}): 6 flipped, {named} named, {again} units run again"
    )
    assert (named, again) == (6, 0)


def folder_of(file: Path) -> Path:
    """The cached model that ``file`` belongs to."""
    return next(parent for parent in file.parents if (parent / "SHA256SUMS").is_file())


def test_results_on_a_full_disk(reference: Place, tmp_path: Path) -> None:
    import resource

    place = Place(tmp_path, cache=reference.cache)

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    child = start(place, before=little_room)
    assert child.wait() == 4
    assert "cannot be written: File too large; what is stored stays" in child.log.read_text()
    assert start(place).wait() == 0
    assert place.digests() == reference.digests()
