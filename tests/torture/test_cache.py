"""A cache removed, replaced, truncated or swapped at random moments of a run: no cell is ever wrong.

BENCH_TORTURE_SEED chooses the moments and the damage, BENCH_TORTURE_CACHES how many runs are disturbed.
"""

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.builders.figures import Figure
from tests.torture.forked import Child, start, warm_up
from tests.torture.tiny import CELLS, SUITE, Place

pytestmark = pytest.mark.slow
SEED = int(os.environ.get("BENCH_TORTURE_SEED", "0"))
CACHES = int(os.environ.get("BENCH_TORTURE_CACHES", "24"))
OTHER_TRAINING = SUITE.replace(
    "training: {epochs: 1, augmentation: none}\nmodels", "training: {epochs: 2}\nmodels"
)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A run that nothing happened to."""
    return undisturbed(tmp_path_factory.mktemp("clean"), SUITE)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A run of the same models, trained in another way."""
    assert OTHER_TRAINING != SUITE
    return undisturbed(tmp_path_factory.mktemp("other"), OTHER_TRAINING)


def undisturbed(folder: Path, suite: str) -> Place:
    warm_up()
    place = Place(folder, suite)
    assert start(place).wait() == 0
    assert len(place.digests()) == CELLS
    return place


def models(cache: Path) -> list[Path]:
    """The trained models in ``cache``: an adapter's last."""
    return sorted(
        (s.parent for s in cache.glob("models/*/SHA256SUMS")),
        key=lambda folder: (folder / "adapter").is_dir(),
    )


def remove(cache: Path, _: Path, rng: random.Random) -> None:
    shutil.rmtree(
        rng.choice([cache, cache / "models", cache / "backbones", *models(cache)]), ignore_errors=True
    )


def replace(cache: Path, other: Path, rng: random.Random) -> None:
    for ours, theirs in rng.sample(
        list(zip(models(cache), models(other), strict=False)), rng.randint(0, len(models(cache)))
    ):
        shutil.rmtree(ours)
        shutil.copytree(theirs, ours)


def truncate(cache: Path, _: Path, rng: random.Random) -> None:
    for file in rng.sample(files := [f for f in cache.glob("*/*/**/*") if f.is_file()], min(2, len(files))):
        os.truncate(file, rng.randrange(file.stat().st_size + 1))


def swap(cache: Path, _: Path, __: random.Random) -> None:
    if len(found := models(cache)) == 2:
        first, second = found
        first.rename(aside := first.with_name("aside"))
        second.rename(first)
        aside.rename(second)


DAMAGES: list[Callable[[Path, Path, random.Random], None]] = [remove, replace, truncate, swap]


def disturbed(
    place: Place, other: Path, seconds: float, damage: int, rng: random.Random
) -> tuple[int, Child]:
    """A run whose cache is damaged after so many ``seconds``; its exit code."""
    child = start(place)
    ended = child.ends_within(seconds)
    if ended is None:
        with suppress(OSError):  # the run was writing there at that moment
            DAMAGES[damage](place.cache, other, rng)
    return (child.wait() if ended is None else ended), child


def failed(place: Place, when: str) -> list[str]:
    """Run again, ``when`` all is well: the logs of this run and of those before it, if it fails."""
    if not (code := start(place).wait()):
        return []
    logs = sorted(place.folder.glob("log-*.txt"))
    return [f"{when}: exit code {code}", *(f"{log.name}:\n{log.read_text()}" for log in logs)]


def test_a_cache_that_changes_under_a_run_makes_no_cell_wrong(
    clean: Place, other: Place, tmp_path: Path, figure: Figure
) -> None:
    rng, expected = random.Random(SEED), {**other.digests(), **clean.digests()}
    codes, wrong, tracebacks, later = Counter[int](), 0, 0, list[str]()
    for number in range(CACHES):
        place = Place(tmp_path / str(number))
        if trained := number % 4 != 3:
            shutil.copytree(clean.cache, place.cache)
        seconds, damage = rng.uniform(0, 2.0 if trained else 4.0), rng.randrange(len(DAMAGES))
        code, child = disturbed(place, other.cache, seconds, damage, rng)
        codes[code] += 1
        tracebacks += "Traceback" in child.log.read_text()
        wrong += sum(expected.get(name, digest) != digest for name, digest in place.digests().items())
        what = f"run {number}, {DAMAGES[damage].__name__} after {seconds:.2f} s (exit code {code})"
        later += failed(place, f"{what}, then on running again")
        wrong += sum(expected.get(name, digest) != digest for name, digest in place.digests().items())
        shutil.rmtree(place.cache)
        shutil.copytree(clean.cache, place.cache)
        later += failed(place, f"{what}, then with the old cache back")
        found = place.digests()
        wrong += sum(found.get(name) != digest for name, digest in clean.digests().items())
        shutil.rmtree(place.folder)
    figure(
        f"8 a cache that changes under a run (seed {SEED}): {CACHES} disturbed, exit codes"
        f" {dict(sorted(codes.items()))}; {wrong} wrong cells then, on running again, and with the old cache"
        f" back; {tracebacks} tracebacks"
    )
    assert not later, "\n\n".join(later)
    assert (wrong, tracebacks) == (0, 0)
    assert codes.keys() <= {0, 2, 4}
