"""A cache that changes under a run: what is attacked has the planned content, or its cells are errors."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapters.cache.folders import SUMS, sha256
from adapters.cache.recipe import Recipe
from adapters.cache.zoo import Zoo
from bench.cli.commands import main
from bench.errors import Exit
from bench.store.trustfile import read_measured
from tests.builders.tiny import TINY

SUITE = TINY.replace("  - {attack: pgd, steps: 3, rel_step_size: 0.5}\n", "") + "trust: 'off'\n"
CELLS = 2 * 2 * 2
"""Models x libraries x eps."""


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the cache and the results of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("clean")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(folder / "cache"))
        assert run(folder) == Exit.OK
    assert len(digests(folder)) == CELLS
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models of another training, which start from the same backbone."""
    folder = tmp_path_factory.mktemp("other")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(folder / "cache"))
        assert run(folder, SUITE.replace("lr: 0.01", "lr: 0.1")) == Exit.OK
    return folder / "cache"


@pytest.fixture
def place(clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a copy of the clean cache, and no results yet."""
    shutil.copytree(clean / "cache", tmp_path / "cache")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


def run(folder: Path, suite: str = SUITE) -> int:
    (folder / "tiny.yaml").write_text(suite)
    return main(
        [
            "run",
            str(folder / "tiny.yaml"),
            "--results",
            str(folder / "results"),
            "--device",
            "cpu",
            "-o",
            "/dev/null",
        ]
    )


def digests(folder: Path) -> dict[str, str]:
    return {file.name: sha256(file) for file in folder.glob("results/*/*/cells/*.parquet")}


def entries(folder: Path) -> list[dict[str, str]]:
    newest = max(folder.glob("results/*/*/run.json"), key=lambda file: file.stat().st_mtime_ns)
    cells: list[dict[str, str]] = json.loads(newest.read_text())["cells"]
    return cells


def lora(cache: Path) -> Path:
    return next(cache.glob("models/*/adapter")).parent


def baseline(cache: Path) -> Path:
    return next(cache.glob("models/*/model.safetensors")).parent


def reseal(folder: Path) -> None:
    """Make the checksums of ``folder`` those of its files: no damage is to be seen."""
    names = [line.split("  ", 1)[1] for line in (folder / SUMS).read_text().splitlines()]
    (folder / SUMS).write_text("".join(f"{sha256(folder / name)}  {name}\n" for name in names))


def put(source: Path, target: Path) -> None:
    shutil.rmtree(target)
    shutil.copytree(source, target)


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def swap(a: Path, b: Path) -> None:
    a.rename(a.with_name("aside"))
    b.rename(a)
    a.with_name("aside").rename(b)


def add_weights(folder: Path) -> None:
    """Weights of another kind beside the adapter's: which are loaded must be those that are hashed."""
    shutil.copy(baseline(folder.parent.parent) / "model.safetensors", folder / "model.safetensors")
    with (folder / SUMS).open("a") as sums:
        sums.write(f"{sha256(folder / 'model.safetensors')}  model.safetensors\n")


def forge_backbone(cache: Path) -> None:
    folder = next(cache.glob("backbones/*/model.safetensors")).parent
    flip(folder / "model.safetensors")
    reseal(folder)


def forge_adapter(cache: Path) -> None:
    flip(lora(cache) / "adapter" / "adapter_model.safetensors")
    reseal(lora(cache))


Change = Callable[[Path, Path], object]
CHANGES: dict[str, tuple[Change, str]] = {
    "the cache is removed": (lambda cache, _: shutil.rmtree(cache), "removed or damaged"),
    "the model is removed": (lambda cache, _: shutil.rmtree(lora(cache)), "removed or damaged"),
    "the backbone is removed": (lambda cache, _: shutil.rmtree(cache / "backbones"), "removed or damaged"),
    "another training's": (lambda cache, other: put(lora(other), lora(cache)), "replaced"),
    "two swapped": (lambda cache, _: swap(lora(cache), baseline(cache)), "replaced"),
    "truncated": (
        lambda cache, _: (lora(cache) / "adapter/adapter_model.safetensors").write_bytes(b""),
        "removed or damaged",
    ),
    "checksums gone": (lambda cache, _: (lora(cache) / SUMS).unlink(), "removed or damaged"),
    "resealed": (lambda cache, _: forge_adapter(cache), "replaced"),
    "backbone resealed": (lambda cache, _: forge_backbone(cache), "replaced"),
    "configuration": (
        lambda cache, _: flip(lora(cache) / "adapter/adapter_config.json"), "removed or damaged",
    ),
}  # fmt: skip

ALWAYS = ("the cache is removed", "another training's")
"""Tried in every test run; the others take their time."""


@pytest.fixture
def before_load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, Callable[[], object]], None]]:
    """Does something right before the n-th model is loaded; nothing may be trained once loading has begun."""
    real_load, real_train = Zoo.load, Zoo._train

    def install(number: int, act: Callable[[], object]) -> None:
        count = iter(range(1, 100))

        def load(zoo: Zoo, recipe: Recipe, sha: str) -> object:
            if next(count) == number:
                act()
            monkeypatch.setattr(Zoo, "_train", lambda *_: pytest.fail("trained inside a load"))
            return real_load(zoo, recipe, sha)

        monkeypatch.setattr(Zoo, "load", load)

    yield install
    monkeypatch.setattr(Zoo, "_train", real_train)


@pytest.mark.parametrize(
    "what", [pytest.param(w, marks=() if w in ALWAYS else pytest.mark.slow) for w in CHANGES]
)
def test_a_model_that_is_not_the_planned_one_is_an_error_and_runs_right_again(
    what: str, clean: Path, other: Path, place: Path,
    before_load: Callable[[int, Callable[[], object]], None], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    change, reason = CHANGES[what]
    before_load(2, lambda: change(place / "cache", other))
    assert run(place) == Exit.INCOMPLETE
    stored, expected = digests(place), digests(clean)
    assert {name: expected[name] for name in stored} == stored
    cells = entries(place)
    assert (
        sorted((cell["model"], cell["status"]) for cell in cells)
        == [("baseline", "ok")] * 4 + [("lora-fc", "error")] * 4
    )
    sha = {cell["error"] for cell in cells if cell["status"] == "error"}
    (said,) = sha
    assert re.fullmatch(
        r"ChangedError: the model lora-fc in the cache is not the one that this run was planned with \(sha256"
        r" [0-9a-f]{12}\): "
        rf"it was {reason}.* during the run; run again",
        said,
    )

    monkeypatch.undo()
    monkeypatch.setenv("BENCH_CACHE", str(place / "cache"))
    assert run(place) == Exit.OK
    assert {(cell["model"], cell["status"]) for cell in entries(place)} == {
        ("baseline", "ok"),
        ("lora-fc", "ok"),
    }
    again = digests(place)
    assert {name: again[name] for name in again.keys() & expected.keys()} == {
        name: expected[name] for name in again.keys() & expected.keys()
    }
    put(clean / "cache", place / "cache")
    assert run(place) == Exit.OK
    assert {name: digests(place).get(name) for name in expected} == expected, (
        "the old cache gives the old numbers"
    )


def test_a_model_whose_sibling_changed_stays_unchecked_and_is_checked_by_the_next_run(
    place: Path, before_load: Callable[[int, Callable[[], object]], None], caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    checked = SUITE.replace("trust: 'off'", "trust: fast")
    before_load(2, lambda: swap(lora(place / "cache"), baseline(place / "cache")))
    assert run(place, checked) == Exit.INCOMPLETE
    assert "baseline/0 stays unchecked: the model lora-fc in the cache is not the one" in caplog.text
    assert {(c["model"], c["status"]) for c in entries(place)} == {("baseline", "ok"), ("lora-fc", "error")}
    assert not list(place.glob("results/*/*/trust/*.json"))
    monkeypatch.undo()
    monkeypatch.setenv("BENCH_CACHE", str(place / "cache"))
    assert run(place, checked) == Exit.OK
    measured = [e for file in place.glob("results/*/*/trust/*.json") for e in read_measured(file).evidence]
    assert {(e.model, e.detail) for e in measured if e.check == "sibling-linf"} == {
        ("baseline", "lora-fc"),
        ("lora-fc", "the model without its adapter"),
    }


def test_files_beside_the_hashed_weights_are_not_loaded_in_their_place(clean: Path, place: Path) -> None:
    add_weights(lora(place / "cache"))
    assert run(place) == Exit.OK
    assert digests(place) == digests(clean)


def test_a_model_tuned_on_another_backbone_is_trained_anew_before_the_run(
    clean: Path, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    forge_backbone(place / "cache")
    assert run(place) == Exit.OK
    for folder in (lora(place / "cache"), baseline(place / "cache")):
        assert f"{folder}: was tuned on a different backbone from the cached one; rebuilt" in caplog.text
    assert not digests(place).keys() & digests(clean).keys(), "another backbone makes other models"
