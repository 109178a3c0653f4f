"""What happens to a unit that fails, hangs, runs out of memory or is interrupted.

The model is linear: the answer is known.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.numpy import load_file
from torch import Tensor

from adapters.classifier import Classifier
from adapters.images import ImageSet
from bench.attacks import attack_session
from bench.attacks.question import Question
from bench.attacks.spec import Fgsm
from bench.engine import interrupt
from bench.engine.interrupt import Interrupted
from bench.engine.job import Job
from bench.engine.models import Models
from bench.engine.plan import Cell, Unit
from bench.engine.progress import Progress
from bench.engine.runner import make_target, run_unit
from bench.executors.limit import TimeLimitError, time_limit
from bench.executors.local import run_units
from bench.executors.parts import one_by_one, run_in_parts, slices
from bench.ids import ModelId
from bench.store import CellEntry, OpenRun, StoredRun, open_run
from bench.store.records import COLUMNS, Records
from bench.suite.suite import suite_from
from tests.builders.linear import linear_classifier, linear_samples, margins
from tests.builders.runs import run_header

if TYPE_CHECKING:
    from adapters.cache.zoo import Zoo

EPS = ("2/255", "16/255")
FIRST_EPS = Fraction(EPS[0])
BATCH = 10
"""48 of the 64 samples are predicted correctly: five batches, the last of eight."""


def unit_of(name: str) -> Unit:
    keys = [f"{name:0<30}{i:02d}" for i in range(len(EPS))]
    cells = tuple(Cell(Fraction(eps), key) for eps, key in zip(EPS, keys, strict=True))
    return Unit(ModelId("linear", 0), Fgsm(attack="fgsm", name=name), "foolbox", cells)


UNITS = [unit_of(name) for name in ("one", "two", "three")]


def open_linear(results: Path, *, images: bool = False) -> OpenRun:
    cells = tuple(
        CellEntry(u.model.name, u.model.seed, u.attack.label, c.eps, "linf", u.library, "exact", c.key)
        for u in UNITS
        for c in u.cells
    )
    header = run_header(cells, suite="linear", headline_eps="16/255", origin={})
    return open_run(results, header, fresh=False, images=images)


class LinearZoo:
    def __init__(self, classifier: Classifier | None = None) -> None:
        self.classifier = classifier or linear_classifier()

    def load(self, *_: object) -> Classifier:
        return self.classifier


def linear_job(limit: float | None) -> Job:
    """The units' suite on the linear model, of which no recipe is needed."""
    declared = {
        "name": "linear",
        "attacks": [{"attack": "fgsm"}],
        "data": {"source": "given"},
        "backbone": {},
        "models": [{"name": "linear", "adaptation": {"method": "none"}}],
        "eps": list(EPS),
        "batch_size": BATCH,
        "time_limit": limit,
        "trust": "off",
    }
    return Job(suite_from(declared), linear_samples(), {ModelId("linear", 0): cast("Any", None)})


def run_all(run: OpenRun, zoo: LinearZoo | None = None, limit: float | None = None) -> None:
    models = Models(
        job := linear_job(limit), cast("Zoo", zoo or LinearZoo()), {ModelId("linear", 0): "sha256"}
    )
    run_units(job, models, run, UNITS, Progress(Console(file=sys.stderr)), lambda _: None)


def statuses(run: OpenRun) -> list[str]:
    return [run.entries[unit.cells[0].key].status for unit in UNITS]


def stored(run: OpenRun) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((run.path / "cells").glob("*.parquet"))}


Attack = Callable[[Unit, int, Tensor], None]


@pytest.fixture
def sabotage(monkeypatch: pytest.MonkeyPatch) -> Callable[[Attack], list[tuple[str, int]]]:
    """Runs a function before each batch of each unit; returns the list of attacked (attack, batch size)."""
    from bench.attacks.translation import make_craft as real

    def install(act: Attack) -> list[tuple[str, int]]:
        calls: list[tuple[str, int]] = []

        def make(spec: Any, *rest: Any) -> Any:
            craft = real(spec, *rest)

            def spoilt(question: Question) -> Tensor:
                if question.eps == float(FIRST_EPS):
                    act(spec.label, len(calls), question.x)
                    calls.append((spec.label, len(question)))
                return craft(question)

            return spoilt

        monkeypatch.setattr(attack_session, "make_craft", make)
        return calls

    return install


def assert_equal(a: Records, b: Records) -> None:
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def test_slices_hold_every_sample_once_and_one_batch_each(linear: Classifier, samples: ImageSet) -> None:
    target = make_target(linear, samples, BATCH)
    parts = list(slices(target))
    np.testing.assert_array_equal(np.concatenate([p.samples for p in parts]), np.arange(64))
    assert [len(target.only(p.samples).correct) for p in parts] == [10, 10, 10, 10, 8]


def test_parts_give_what_the_whole_gives(tmp_path: Path, linear: Classifier, samples: ImageSet) -> None:
    target = make_target(linear, samples, BATCH)
    whole, parts = run_unit(UNITS[0], target), run_in_parts(UNITS[0], target, open_linear(tmp_path))
    for a, b in zip(whole.records, parts.records, strict=True):
        assert_equal(a, b)
    assert (whole.forwards, whole.backwards) == (parts.forwards, parts.backwards)


def test_images_of_some_parts_alone_are_none(tmp_path: Path, linear: Classifier, samples: ImageSet) -> None:
    """Pictures of a resumed unit are crafted again: of the parts that were done before, no image was kept."""
    target, run = make_target(linear, samples, BATCH), open_linear(tmp_path)
    run.strips = {UNITS[0].keys[0]: ("worst",)}
    first = run_in_parts(UNITS[0], target, run)
    assert [len(images) for images in first.images or ()] == [64, 64]
    (run.path / "parts" / UNITS[0].key / "00003.parquet").unlink()
    again = run_in_parts(UNITS[0], target, run)
    assert again.images is None
    for a, b in zip(first.records, again.records, strict=True):
        assert_equal(a, b)


def test_each_eps_by_itself_gets_all_parts_that_are_done(
    tmp_path: Path, linear: Classifier, samples: ImageSet, sabotage: Any
) -> None:
    """Helpers begin with the last one."""
    target, run = make_target(linear, samples, BATCH), open_linear(tmp_path)
    whole = run_in_parts(UNITS[0], target, run)
    (run.path / "parts" / UNITS[0].key / "00001.parquet").unlink()
    ones = one_by_one(UNITS[0], run)
    assert [run.parts(one.key) for one in ones] == [[0, 2, 3, 4]] * 2
    calls = sabotage(lambda *_: None)
    found = [run_in_parts(one, target, run).records[0] for one in ones]
    assert len(calls) == 1, "of the first eps; nothing is noted at others"
    for a, b in zip(whole.records, found, strict=True):
        assert_equal(a, b)


def test_a_model_that_is_always_wrong_has_one_part_without_attack(
    tmp_path: Path, linear: Classifier, samples: ImageSet
) -> None:
    wrong = ImageSet(samples.images[48:], samples.labels[48:], samples.ids[48:], samples.classes)
    result = run_in_parts(UNITS[0], make_target(linear, wrong, BATCH), open_linear(tmp_path))
    assert [len(r) for r in result.records] == [16, 16]
    assert not result.records[1].success.any()


def test_an_error_fails_its_cell_alone_and_is_retried_alone(tmp_path: Path, sabotage: Any) -> None:
    def fail(label: str, _: int, __: Tensor) -> None:
        if label == "two":
            raise ValueError("the library broke")

    sabotage(fail)
    run = open_linear(tmp_path)
    run_all(run)
    assert statuses(run) == ["ok", "error", "ok"]
    first, second = (run.entries[cell.key] for cell in UNITS[1].cells)
    assert (first.status, first.error) == ("error", "ValueError: the library broke")
    assert second.status == "ok", "the attack fails at the first eps only"
    before = stored(run)

    calls = sabotage(lambda *_: None)
    again = open_linear(tmp_path)
    assert statuses(again) == ["ok", "error", "ok"]
    run_all(again)
    assert statuses(again) == ["ok", "ok", "ok"]
    assert {label for label, _ in calls} == {"two"}
    assert {name: stored(again)[name] for name in before} == before


def test_a_second_attempt_goes_on_at_the_batch_that_failed(tmp_path: Path, sabotage: Any) -> None:
    def fail(label: str, call: int, _: Tensor) -> None:
        if (label, call) == ("one", 3):
            raise RuntimeError("the fourth batch fails")

    sabotage(fail)
    run = open_linear(tmp_path / "a")
    run_all(run)
    calls = sabotage(lambda *_: None)
    again = open_linear(tmp_path / "a")
    run_all(again)
    assert run.entries[UNITS[0].cells[1].key].status == "ok"
    assert calls == [("one", 10), ("one", 8)], "three of five batches were stored"
    clean = open_linear(tmp_path / "b")
    run_all(clean)
    assert stored(again) == stored(clean)
    assert not list((again.path / "parts").glob("*"))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 3 GiB"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to"
            " allocate 9 bytes"
        ),
    ],
    ids=["numpy", "cuda", "cpu"],
)
def test_out_of_memory_halves_the_batch(error: Exception, tmp_path: Path, sabotage: Any) -> None:
    def limit(label: str, _: int, x: Tensor) -> None:
        if label == "one" and len(x) > 3:
            raise error

    calls = sabotage(limit)
    run = open_linear(tmp_path / "a")
    run_all(run)
    assert statuses(run) == ["ok"] * 3
    assert max(size for label, size in calls if label == "one") == 2, "10, 5, 2"
    calls = sabotage(lambda *_: None)
    clean = open_linear(tmp_path / "b")
    run_all(clean)
    assert stored(run) == stored(clean)


def test_out_of_memory_at_a_batch_of_one_is_an_error_cell(tmp_path: Path, sabotage: Any) -> None:
    def limit(label: str, __: int, ___: Tensor) -> None:
        if label == "three":
            raise MemoryError("Unable to allocate 3 GiB")

    sabotage(limit)
    run = open_linear(tmp_path)
    run_all(run)
    assert statuses(run) == ["ok", "ok", "error"]
    assert run.entries[UNITS[2].cells[0].key].error == "MemoryError: Unable to allocate 3 GiB"


def test_memory_really_exhausted_is_recognised() -> None:
    from bench.engine.prepare import out_of_memory

    for allocate in (lambda: torch.empty(1 << 46), lambda: np.empty(1 << 46)):
        with pytest.raises((RuntimeError, MemoryError)) as caught:
            allocate()
        assert out_of_memory(caught.value), caught.value
    assert out_of_memory(
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
    )
    assert not out_of_memory(RuntimeError("shape mismatch"))


def test_a_nan_model_is_an_error_cell(tmp_path: Path) -> None:
    broken = linear_classifier()
    cast("Any", broken.network).weight.data[0] = torch.nan
    run = open_linear(tmp_path)
    run_all(run, LinearZoo(broken))
    assert statuses(run) == ["error"] * 3
    assert "not finite (NaN) on 64 of 64" in (run.entries[UNITS[0].cells[0].key].error or "")


def test_a_model_that_cannot_be_loaded_is_an_error_cell(tmp_path: Path) -> None:
    class Broken(LinearZoo):
        def load(self, *_: object) -> Classifier:
            raise OSError("the weights are gone")

    run = open_linear(tmp_path)
    run_all(run, Broken())
    assert statuses(run) == ["error"] * 3


def spin() -> None:
    while True:
        with contextlib.suppress(Exception):  # as a library that swallows everything
            sum(range(1000))


@pytest.mark.parametrize("hang", [spin, lambda: time.sleep(1e6)], ids=["loop", "sleep"])
def test_a_hanging_attack_is_an_error_cell(hang: Callable[[], None], tmp_path: Path, sabotage: Any) -> None:
    sabotage(lambda label, *_: hang() if label == "two" else None)
    run = open_linear(tmp_path)
    run_all(run, limit=0.5)
    assert statuses(run) == ["ok", "error", "ok"]
    assert run.entries[UNITS[1].cells[0].key].error == "it took longer than the suite's time limit of 0.5 s"
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_a_limit_that_is_kept_leaves_nothing_behind() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with time_limit(30, lambda: None):
        pass
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    assert signal.getsignal(signal.SIGALRM) is before
    with pytest.raises(TimeLimitError), time_limit(0.01, lambda: None):
        time.sleep(60)


def test_native_code_that_hangs_ends_the_process_with_its_unit_stored(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from bench.attacks import attack_session
        from bench.executors import limit
        from tests.executors import test_executors as t
        t.run_all(t.open_linear(Path(sys.argv[1]) / "imports everything"))
        limit.GRACE = 0.5
        real = attack_session.make_craft
        def make(spec, *rest):
            return t.deadlock if spec.label == "two" else real(spec, *rest)
        attack_session.make_craft = make
        t.run_all(t.open_linear(Path(sys.argv[1]) / "hangs"), limit=5)
    """)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 4, done.stderr
    run = open_linear(tmp_path / "hangs")
    assert statuses(run) == ["ok", "error", "missing"]
    assert "hung in native code" in (run.entries[UNITS[1].cells[0].key].error or "")
    run_all(run)
    assert statuses(run) == ["ok", "ok", "ok"]


def deadlock(*_: object) -> None:
    """Lock a C mutex twice: no signal and no exception ever ends this."""
    libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)


def test_a_signal_ends_the_batch_and_stores_it(tmp_path: Path, sabotage: Any) -> None:
    def stop(_: str, call: int, __: Tensor) -> None:
        if call == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    calls = sabotage(stop)
    run = open_linear(tmp_path / "a")
    with pytest.raises(Interrupted, match="SIGTERM") as caught, interrupt.deferred():
        run_all(run)
    assert caught.value.exit_code == 143
    assert calls == [("one", 10)] * 2
    calls = sabotage(lambda *_: None)
    again = open_linear(tmp_path / "a")
    run_all(again)
    assert len(calls) == 15 - 2, "the two batches that were finished are not attacked again"
    clean = open_linear(tmp_path / "b")
    run_all(clean)
    assert stored(again) == stored(clean)


def test_a_second_signal_ends_at_once(tmp_path: Path, sabotage: Any) -> None:
    def stop(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("not reached")

    sabotage(stop)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted) as caught, interrupt.deferred():
        run_all(open_linear(tmp_path))
    assert caught.value.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is before


def test_a_unit_that_another_process_finishes_is_not_computed(tmp_path: Path, sabotage: Any) -> None:
    ours, theirs = open_linear(tmp_path), open_linear(tmp_path)
    run_all(theirs)
    calls = sabotage(lambda *_: None)
    run_all(ours)
    assert statuses(ours) == ["ok"] * 3
    assert calls == []


def test_images_are_stored_and_checked_again(tmp_path: Path, sabotage: Any) -> None:
    plain = open_linear(tmp_path)
    run_all(plain)
    calls = sabotage(lambda *_: None)
    run = open_linear(tmp_path, images=True)
    run_all(run)
    assert len(calls) == 15, "the cells were finished, the images were not"
    samples, cell = linear_samples(), UNITS[0].cells[1]
    records = StoredRun(run.path).records(cell.key)
    images = load_file(run.path / "adversarials" / f"{cell.key}.safetensors")["x"]
    change = np.abs(images - samples.x).reshape(64, -1).max(1)
    np.testing.assert_array_equal(change, records.linf)
    np.testing.assert_array_equal((margins(images * 255) > 0), records.adv_pred == 1)
    said = run.entries[cell.key].adversarials or {}
    hit = records.success
    assert 0 < hit.sum() == said["success"] == said["success_float32"]
    rounded = margins(np.rint(images * 255)) > 0
    assert said["success_uint8"] == int((rounded != samples.labels)[hit].sum())

    calls.clear()
    run_all(open_linear(tmp_path, images=True))
    assert calls == []
    (run.path / "adversarials" / f"{UNITS[0].cells[0].key}.safetensors").write_bytes(b"damaged")
    run_all(open_linear(tmp_path, images=True))
    assert {label for label, _ in calls} == {"one"}


def test_a_stopped_run_with_images_goes_on_and_stores_the_same_bytes(tmp_path: Path, sabotage: Any) -> None:
    def stop(_: str, call: int, __: Tensor) -> None:
        if call == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    def images(run: OpenRun) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in sorted((run.path / "adversarials").iterdir())}

    sabotage(stop)
    with pytest.raises(Interrupted), interrupt.deferred():
        run_all(open_linear(tmp_path / "a", images=True))
    calls = sabotage(lambda *_: None)
    again = open_linear(tmp_path / "a", images=True)
    run_all(again)
    assert len(calls) == 15 - 2, "the two batches that were finished are not attacked again"
    clean = open_linear(tmp_path / "b", images=True)
    run_all(clean)
    assert stored(again) == stored(clean)
    assert images(again) == images(clean)
    assert len(images(clean)) == 6
    assert {key: e.adversarials for key, e in again.entries.items()} == {
        key: e.adversarials for key, e in clean.entries.items()
    }


@pytest.mark.parametrize("without", ["asked", "whole"])
def test_a_part_without_sound_images_is_computed_again_where_they_are_asked_for(
    without: str, tmp_path: Path, linear: Classifier, samples: ImageSet, sabotage: Any
) -> None:
    target, run = make_target(linear, samples, BATCH), open_linear(tmp_path, images=without == "whole")
    run_in_parts(UNITS[0], target, run)
    if without == "whole":
        (run.path / "parts" / UNITS[0].key / "00003.safetensors").write_bytes(b"damaged")
    calls = sabotage(lambda *_: None)
    result = run_in_parts(UNITS[0], target, open_linear(tmp_path, images=True))
    assert len(calls) == (1 if without == "whole" else 5)
    assert [len(cell) for cell in result.images or ()] == [64, 64]
