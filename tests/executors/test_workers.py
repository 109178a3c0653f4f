"""Worker processes: tasks that fail, are killed, are asked to stop; the same bytes from any number; cores
that are free."""

import io
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import Barrier
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import numpy as np
import pytest
import torch
from rich.console import Console

import bench
from adapters.classifier import Classifier
from adapters.training import curves
from bench.cli.commands import main
from bench.engine import interrupt
from bench.engine.interrupt import Interrupted
from bench.engine.plan import Unit
from bench.engine.progress import Progress
from bench.errors import SuiteError, UserError
from bench.executors import cores, limit
from bench.executors.attacking import last_models_together
from bench.executors.crew import Crew, on_this_machine
from bench.executors.host import Ended
from bench.executors.messages import Channel, LogLine, Reader, announcing
from bench.executors.pool import TRIES, Pool, Task
from bench.ids import ModelId
from bench.store import ModelEntry, OpenRun, StoredRun
from bench.store.evidence import Evidence
from bench.trust.effort import PARTS, Part
from bench.trust.gather import Checks, Measured
from tests.builders.linear import linear_classifier
from tests.executors.test_executors import (
    BATCH,
    UNITS,
    LinearZoo,
    deadlock,
    linear_job,
    open_linear,
    sabotage,
    statuses,
    stored,
)
from tests.torture.forked import start, warm_up
from tests.torture.tiny import CELLS, SUITE, Place
from tests.torture.tiny import UNITS as TINY_UNITS

__all__ = ["sabotage"]
SILENT = Progress(Console(quiet=True))
Do = Callable[[Any, Channel], Any]


def pool_of(workers: int, do: Do, requests: list[Any]) -> Pool:
    """A pool in which ``do`` carries out each of ``requests``, all from one host."""
    pool = Pool(workers, lambda _: do, Reader(SILENT))
    for request in requests:
        pool.add(Task(request))
    return pool


def all_of(pool: Pool) -> dict[Any, Ended]:
    """How each task ended, by its request."""
    with pool:
        return {task.request: ended for task, ended in pool.ended()}


def test_tasks_give_values_and_raise_what_they_raise() -> None:
    def do(request: int, _: Channel) -> int:
        if request == 2:
            raise SuiteError("no such model", ("models", 2))
        if request == 3:
            raise subprocess.CalledProcessError(5, "false")  # not made of its arguments alone
        return request * request

    found = all_of(pool_of(2, do, [0, 1, 2, 3, 4]))
    assert [found[i].value for i in (0, 1, 4)] == [0, 1, 16]
    error = found[2].error
    assert isinstance(error, SuiteError)
    assert (str(error), error.where) == ("no such model", ("models", 2))
    assert "5" in str(found[3].error)


@pytest.mark.parametrize("workers", [1, 3])
def test_so_many_at_a_time_and_no_more(workers: int, tmp_path: Path) -> None:
    def do(request: int, _: Channel) -> int:
        mark = tmp_path / str(request)
        mark.touch()
        at_once = len(list(tmp_path.iterdir()))
        time.sleep(0.1)
        mark.unlink()
        return at_once

    found = all_of(pool_of(workers, do, list(range(6))))
    assert max(ended.value for ended in found.values()) == workers


def test_what_comes_first_is_carried_out_before_what_waits() -> None:
    pool = pool_of(1, lambda request, _: request, ["a", "b"])
    order = []
    with pool:
        for task, _ in pool.ended():
            order.append(task.request)
            if task.request == "a":
                pool.add(Task("urgent"), first=True)
                pool.add(Task("late"))
    assert order == ["a", "urgent", "b", "late"]


def test_tasks_start_in_their_order_also_where_a_host_has_to_be_started() -> None:
    """Else the last models' tasks would follow one another, and one worker would check the last one alone."""
    pool = Pool(1, lambda _: lambda request, _: request, Reader(SILENT))
    for where, request in [("a", 1), ("b", 2), ("a", 3), ("b", 4)]:
        pool.add(Task(request, where))
    with pool:
        assert [ended.value for _, ended in pool.ended()] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        (1, "a1 a2 b1 b2 b3 c1 c2"),
        (2, "a1 a2 b1 c1 b2 c2 b3"),
        (3, "a1 b1 c1 a2 b2 c2 b3"),
        (9, "a1 b1 c1 a2 b2 c2 b3"),
    ],
)
def test_the_last_models_are_attacked_by_turns_so_that_no_worker_is_idle_at_the_end(
    workers: int, expected: str
) -> None:
    named = ["a1", "a2", "b1", "b2", "b3", "c1", "c2"]
    units = {name: replace(UNITS[0], model=ModelId(name[0], 0), stream=int(name[1])) for name in named}
    ordered = last_models_together(list(units.values()), workers)
    assert [f"{unit.model.name}{unit.stream}" for unit in ordered] == expected.split()


def test_children_share_what_their_host_has_loaded() -> None:
    made: list[int] = []

    def make(where: str) -> Do:
        made.append(os.getpid())
        weights = torch.full((3,), float(len(where)))
        return lambda request, _: (os.getppid(), made[-1], float(weights.sum()) + request)

    pool = Pool(2, make, Reader(SILENT))
    for where in ("a", "bb"):
        for request in range(3):
            pool.add(Task(request, where))
    with pool:
        found = {(t.where, t.request): ended.value for t, ended in pool.ended()}
    assert {key: value[2] for key, value in found.items()} == {
        (w, r): 3 * len(w) + r for w in ("a", "bb") for r in range(3)
    }
    assert all(parent == host for parent, host, _ in found.values())
    assert len({host for _, host, _ in found.values()}) == 2
    assert made == [], "nothing is loaded here"


def test_trainings_of_one_title_side_by_side_are_each_shown_to_their_end() -> None:
    shown = io.StringIO()
    both = Barrier(2)

    def do(request: int, channel: Channel) -> None:
        epoch = announcing(channel)("backbone (5 source classes)")
        both.wait(30)
        for done in (1, 2):
            epoch(done, 2, curves.Epoch(request / 10))
            both.wait(30)

    pool = Pool(2, lambda _: do, Reader(Progress(Console(file=shown, width=100))))
    for request in (3, 4):
        pool.add(Task(request))
    assert [ended.error for ended in all_of(pool).values()] == [None, None]
    said = [line for line in shown.getvalue().splitlines() if line.startswith("trained")]
    assert sorted(line.split(", 0 s")[0] for line in said) == [
        f"trained backbone (5 source classes): 2 epochs, loss {loss}" for loss in ("0.300", "0.400")
    ]


def test_a_killed_task_is_tried_again_alone_and_one_that_kills_its_process_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def do(request: str, _: Channel) -> str:
        with (tmp_path / "starts").open("a") as file:
            file.write(f"{request}\n")
        first = (tmp_path / "starts").read_text().count(request) == 1
        if request == "always" or (request == "once" and first):
            os.kill(os.getpid(), signal.SIGKILL)
        return request

    found = all_of(pool_of(2, do, ["always", "once", "sound", "another"]))
    assert [found[name].value for name in ("once", "sound", "another")] == ["once", "sound", "another"]
    assert found["always"].is_lost
    assert found["always"].fate == "killed by SIGKILL"
    starts = (tmp_path / "starts").read_text().split()
    assert [starts.count(name) for name in ("always", "once", "sound", "another")] == [TRIES, 2, 1, 1]
    assert "a worker was lost (killed by SIGKILL); its task is tried again (2 of 3)" in caplog.text


def test_a_killed_host_costs_only_what_its_children_were_at(tmp_path: Path) -> None:
    def do(request: str, _: Channel) -> str:
        if request == "kills" and not (tmp_path / "killed").exists():
            (tmp_path / "killed").touch()
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        return request

    found = all_of(pool_of(2, do, ["kills", "b", "c"]))
    assert {name: ended.value for name, ended in found.items()} == {"kills": "kills", "b": "b", "c": "c"}


def test_what_is_logged_in_a_worker_is_said_here(caplog: pytest.LogCaptureFixture) -> None:
    def do(request: int, channel: Channel) -> None:
        channel.put(LogLine(30, f"message {request}"))
        import logging

        logging.getLogger("bench.somewhere").warning("log %d", request)

    all_of(pool_of(2, do, [1, 2]))
    assert {"message 1", "log 1", "message 2", "log 2"} <= set(caplog.messages)


def alive(pids: list[int]) -> list[int]:
    """Those of ``pids`` that are left after some seconds."""
    end = time.monotonic() + 10
    while time.monotonic() < end and any(Path(f"/proc/{pid}").exists() for pid in pids):
        time.sleep(0.05)
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def patient(folder: Path) -> Do:
    """A task that ends a batch of a second when it is asked to stop, and notes its process."""

    def do(request: int, _: Channel) -> None:
        (folder / f"pid-{os.getpid()}").touch()
        while True:
            time.sleep(0.3)
            (folder / f"batch-{request}").touch()
            interrupt.check()

    return do


@pytest.mark.parametrize("to_all", [False, True], ids=["to the run", "to the whole group"])
def test_one_signal_lets_each_task_end_its_batch(to_all: bool, tmp_path: Path) -> None:
    def stop_soon(request: int, channel: Channel) -> None:
        if request == 0:
            time.sleep(0.2)
            children = [int(file.name[4:]) for file in tmp_path.glob("pid-*")] if to_all else []
            for pid in (run, *children):
                os.kill(pid, signal.SIGINT)
        patient(tmp_path)(request, channel)

    run = os.getpid()
    with pytest.raises(Interrupted) as caught, interrupt.deferred():
        all_of(pool_of(2, stop_soon, [0, 1, 2]))
    assert caught.value.exit_code == 130
    assert {file.name for file in tmp_path.glob("batch-*")} == {"batch-0", "batch-1"}, (
        "both were ended, nothing new was begun"
    )
    assert alive([int(file.name[4:]) for file in tmp_path.glob("pid-*")]) == []


def test_a_second_signal_ends_all_at_once(tmp_path: Path) -> None:
    def deaf(request: int, _: Channel) -> None:
        (tmp_path / f"pid-{os.getpid()}").touch()
        if request == 0:
            os.kill(run, signal.SIGTERM)
            time.sleep(0.5)
            os.kill(run, signal.SIGTERM)
        time.sleep(60)

    run = os.getpid()
    with pytest.raises(Interrupted) as caught, interrupt.deferred():
        all_of(pool_of(2, deaf, [0, 1]))
    assert caught.value.exit_code == 143
    assert alive([int(file.name[4:]) for file in tmp_path.glob("pid-*")]) == []


def test_what_is_carried_out_while_a_run_stops_is_handed_on() -> None:
    def do(request: int, _: Channel) -> int:
        if request == 0:
            os.kill(run, signal.SIGINT)
        time.sleep(0.5)
        return request

    def take(pool: Pool) -> None:
        for _, ended in pool.ended():
            found.append(ended.value)

    run, found = os.getpid(), list[int]()
    with pytest.raises(Interrupted), interrupt.deferred(), pool_of(2, do, [0, 1, 2]) as pool:
        take(pool)
    assert sorted(found) == [0, 1]


def test_a_parent_that_used_many_threads_can_be_forked() -> None:
    """An OpenMP team of the parent's is not there in the child: with one thread it is not missed."""
    before = torch.get_num_threads()
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3), torch.nn.Flatten(), torch.nn.LazyLinear(10))
    x = torch.rand(32, 3, 32, 32)

    def gradient(_: int, __: Channel) -> Any:
        leaf = x.clone().requires_grad_(True)
        return torch.autograd.grad(network(leaf).sum(), leaf)[0].numpy()

    try:
        torch.set_num_threads(3)
        network(x)
        gradient(0, cast("Channel", None))
        with cores.one_thread("cpu"):
            here = gradient(0, cast("Channel", None))
            assert torch.get_num_threads() == 1
            found = all_of(pool_of(2, gradient, [1, 2]))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    for ended in found.values():
        np.testing.assert_array_equal(ended.value, here)


class SeveralZoo(LinearZoo):
    """The linear model under another name for each of the units' models; it was trained on no backbone."""

    device = "cpu"

    def __init__(self) -> None:
        super().__init__()
        self.loads = 0

    def load(self, *_: object) -> Classifier:
        self.loads += 1
        return linear_classifier()

    def unadapted(self, *_: object) -> None:
        pass


def attack(
    run: OpenRun,
    workers: int,
    limit: float | None = None,
    units: list[Unit] = UNITS,
    trust: Literal["off", "fast"] = "off",
) -> SeveralZoo:
    """Run the linear units in ``workers`` processes."""
    job = linear_job(limit)
    job = replace(job, suite=job.suite.model_copy(update={"trust": trust}))
    run.header = replace(run.header, models=(ModelEntry("linear", 0, "none", 0, 0, "sha256"),))
    zoo = SeveralZoo()
    with cores.one_thread(zoo.device):
        crew = Crew(cast("Any", zoo), Progress(Console(file=sys.stderr)), workers, fresh=False)
        crew.attack(job, run, UNITS, units)
    return zoo


def note(file: Path) -> None:
    """Add this process to those in ``file``."""
    with file.open("a") as lines:
        lines.write(f"{os.getpid()}\n")


def noted(file: Path) -> list[str]:
    """The processes in ``file``."""
    return file.read_text().split()


@pytest.mark.parametrize("workers", [2, 5])
def test_units_give_the_same_bytes_in_any_number_of_workers(workers: int, tmp_path: Path) -> None:
    alone, together = open_linear(tmp_path / "alone"), open_linear(tmp_path / "together")
    assert attack(alone, 1).loads == 1
    assert attack(together, workers).loads == 0, "models are loaded in the workers"
    assert statuses(together) == ["ok"] * 3
    assert stored(together) == stored(alone)
    assert not list((together.path / "parts").glob("*"))


def test_workers_without_a_unit_of_their_own_help_with_another(tmp_path: Path, sabotage: Any) -> None:
    """Each batch is attacked once, in one process or another, and nothing that is stored tells which."""

    def slow(*_: object) -> None:
        note(tmp_path / "batches")
        time.sleep(0.3)

    alone = open_linear(tmp_path / "alone")
    attack(alone, 1, units=UNITS[:1])
    sabotage(slow)
    together = open_linear(tmp_path / "together")
    attack(together, 3, units=UNITS[:1])
    processes = noted(tmp_path / "batches")
    assert (len(processes), len(set(processes))) == (5, 3)
    assert statuses(together) == ["ok", "missing", "missing"]
    assert stored(together) == stored(alone)
    assert together.entries[UNITS[0].keys[0]].forwards == alone.entries[UNITS[0].keys[0]].forwards
    assert not list((together.path / "parts").glob("*"))


@pytest.mark.parametrize("how", ["fails", "is killed"])
def test_a_helper_that_fails_costs_nothing_and_is_not_replaced(
    how: str, tmp_path: Path, sabotage: Any
) -> None:
    """Whoever runs the unit does its part too."""

    def harm(_: str, __: int, x: torch.Tensor) -> None:
        note(tmp_path / "batches")
        time.sleep(0.2)
        if len(x) != BATCH and not (tmp_path / "harmed").exists():  # the last batch, which helpers begin with
            note(tmp_path / "harmed")
            if how == "is killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError("the library broke")

    alone = open_linear(tmp_path / "alone")
    attack(alone, 1, units=UNITS[:1])
    sabotage(harm)
    together = open_linear(tmp_path / "together")
    attack(together, 2, units=UNITS[:1])
    (helper,), processes = noted(tmp_path / "harmed"), noted(tmp_path / "batches")
    assert helper != processes[0]
    assert (len(processes), set(processes)) == (6, {helper, processes[0]})
    assert stored(together) == stored(alone)


def test_nobody_helps_with_a_unit_whose_process_was_lost(tmp_path: Path, sabotage: Any) -> None:
    """What ran out of memory is tried again alone: helpers end what they are at, and begin nothing more."""

    def die_at_the_second(*_: object) -> None:
        note(tmp_path / "batches")
        processes = noted(tmp_path / "batches")
        first = str(os.getpid()) == processes[0]
        time.sleep(0.2 if first else 0.8)
        if first and processes.count(processes[0]) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    sabotage(die_at_the_second)
    attack(run := open_linear(tmp_path / "run"), 3, units=UNITS[:1])
    assert run.entries[UNITS[0].keys[0]].status == "ok"
    processes = noted(tmp_path / "batches")
    assert sorted(Counter(processes).values()) == [1, 1, 2, 2]
    assert processes[-2] == processes[-1]


def test_nobody_helps_where_units_have_a_time_limit(tmp_path: Path, sabotage: Any) -> None:
    """Or how much of a unit is done in time would depend on how many workers there are."""

    def slow(*_: object) -> None:
        note(tmp_path / "batches")
        time.sleep(0.1)

    sabotage(slow)
    attack(open_linear(tmp_path / "run"), 3, limit=60, units=UNITS[:1])
    processes = noted(tmp_path / "batches")
    assert (len(processes), len(set(processes))) == (5, 1)


def test_a_killed_worker_costs_one_unit_which_is_tried_again(
    tmp_path: Path, sabotage: Any, capfd: Any
) -> None:
    def die(label: str, _: int, __: Any) -> None:
        if label == "two" and not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    clean = open_linear(tmp_path / "clean")
    attack(clean, 1)
    sabotage(die)
    run = open_linear(tmp_path / "run")
    attack(run, 2)
    assert (tmp_path / "died").exists()
    assert statuses(run) == ["ok"] * 3
    assert stored(run) == stored(clean)
    said = capfd.readouterr().err
    assert [f"[{i}/3] " in said for i in (1, 2, 3, 4)] == [True, True, True, False]


def test_a_unit_that_always_kills_its_worker_is_an_error_cell_and_only_it(
    tmp_path: Path, sabotage: Any
) -> None:
    sabotage(lambda label, *_: os.kill(os.getpid(), signal.SIGKILL) if label == "two" else None)
    run = open_linear(tmp_path)
    attack(run, 2)
    assert statuses(run) == ["ok", "error", "ok"]
    assert {run.entries[cell.key].error for cell in UNITS[1].cells} == {
        "its worker was lost 3 times: killed by SIGKILL"
    }
    sabotage(lambda *_: None)
    attack(again := open_linear(tmp_path), 2)
    assert statuses(again) == ["ok"] * 3


def test_native_code_that_hangs_costs_its_unit_and_the_run_goes_on(
    tmp_path: Path, sabotage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limit, "GRACE", 0.5)
    sabotage(lambda label, *_: deadlock() if label == "two" else None)
    run = open_linear(tmp_path)
    attack(run, 2, limit=2)
    assert statuses(run) == ["ok", "error", "ok"]
    assert run.entries[UNITS[1].cells[0].key].error == "it hung in native code beyond the time limit of 2 s"


def test_a_failing_unit_is_an_error_cell_in_a_worker_too(tmp_path: Path, sabotage: Any) -> None:
    def fail(label: str, _: int, __: Any) -> None:
        if label == "two":
            raise ValueError("the library broke")

    sabotage(fail)
    run = open_linear(tmp_path)
    attack(run, 2)
    assert [run.entries[cell.key].error for cell in UNITS[1].cells] == ["ValueError: the library broke", None]
    assert statuses(run) == ["ok", "error", "ok"]


def test_a_unit_that_another_run_is_at_is_waited_for(tmp_path: Path, sabotage: Any) -> None:
    """Two processes share a run: each unit is computed once."""

    def note(label: str, _: int, __: Any) -> None:
        with (tmp_path / "starts").open("a") as file:
            file.write(f"{label}\n")
        time.sleep(0.05)

    sabotage(note)
    open_linear(tmp_path / "run")
    pid = os.fork()
    if not pid:
        try:
            attack(open_linear(tmp_path / "run"), 2)
        finally:
            os._exit(0)
    attack(run := open_linear(tmp_path / "run"), 2)
    os.waitpid(pid, 0)
    run.refresh()
    assert statuses(run) == ["ok"] * 3
    starts = (tmp_path / "starts").read_text().split()
    assert {label: starts.count(label) for label in ("one", "two", "three")} == dict.fromkeys(
        ("one", "two", "three"), 5
    )


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("failed", [1, 2])
def test_what_failed_is_retried_before_its_model_is_examined(
    failed: int, workers: int, tmp_path: Path, sabotage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(self: Checks, model: ModelId, parts: tuple[Part, ...]) -> Measured:
        with (tmp_path / "parts").open("a") as file:
            file.writelines(f"{part}\n" for part in parts)
        return measured(self, model, parts)

    def fail(label: str, *_: object) -> None:
        if label in ("one", "two")[:failed]:
            raise MemoryError

    sabotage(fail)
    attack(open_linear(tmp_path), 1)
    sabotage(lambda *_: None)
    measured = Checks.measure
    monkeypatch.setattr(Checks, "measure", measure)
    attack(run := open_linear(tmp_path), workers, trust="fast")
    assert statuses(run) == ["ok"] * 3
    assert sorted((tmp_path / "parts").read_text().splitlines()) == sorted(PARTS), "each once"
    found = StoredRun(run.path).evidence()
    assert {e.attack for e in found} == {"one", "two", "three", None}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_model_is_examined_again_once_what_failed_does_not(
    workers: int, tmp_path: Path, sabotage: Any
) -> None:
    sabotage(lambda label, *_: os.kill(os.getpid(), signal.SIGKILL) if label == "two" else None)
    attack(run := open_linear(tmp_path), 2, trust="fast")
    assert {e.attack for e in StoredRun(run.path).evidence()} == {"one", "three", None}
    sabotage(lambda *_: None)
    attack(run := open_linear(tmp_path), workers, trust="fast")
    found = StoredRun(run.path).evidence()
    assert {e.attack for e in found} == {"one", "two", "three", None}
    assert len({(e.check, e.attack, e.library, e.eps) for e in found}) == len(found), "each is there once"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The tiny suite, trained and run by one worker."""
    warm_up()
    place = Place(tmp_path_factory.mktemp("alone"))
    assert start(place, "--workers", "1").wait() == 0
    assert len(place.digests()) == CELLS
    return place


def weights(place: Place) -> dict[str, str]:
    """The checksums of all trained weights."""
    return {
        str(file.relative_to(place.cache)): file.read_text() for file in place.cache.glob("*/*/SHA256SUMS")
    }


def evidence(place: Place) -> list[Evidence]:
    """What the checks of all models have measured."""
    (run,) = place.results.glob("*/*/run.json")
    return StoredRun(run.parent).evidence()


def test_a_run_trains_attacks_and_checks_the_same_in_any_number_of_workers(
    alone: Place, tmp_path: Path
) -> None:
    place = Place(tmp_path)
    child = start(place, "--workers", "3", "--verbose", before=lambda: torch.set_num_threads(2))
    assert child.wait() == 0
    assert weights(place) == weights(alone)
    assert place.digests() == alone.digests()
    said = child.log.read_text()
    for model in ("backbone (3 source classes)", "full", "lora"):
        assert f"trained {model}: 1 epochs" in said
    assert f"[{TINY_UNITS}/{TINY_UNITS}] " in said
    assert "waiting for" not in said, "two models wait for no backbone: it is trained before"
    assert len(list(place.results.glob("*/*/trust/*.json"))) == 2, "both models are examined"
    for model in ("full/0", "lora/0"):
        assert all(f"checking {model}: {part}\n" in said for part in PARTS), "each part is a task"
    assert evidence(place) == evidence(alone)
    assert place.header["status"] == "complete"
    assert place.header["provenance"]["threads"] == 1
    assert place.leftovers() == []


def test_a_run_that_is_killed_leaves_no_worker_behind(alone: Place, tmp_path: Path) -> None:
    place = Place(tmp_path, cache=alone.cache, suite=SUITE.replace("steps: 2", "steps: 300"))
    child = start(place, "--workers", "2")
    end = time.monotonic() + 60
    while time.monotonic() < end and not (workers := descendants(child.pid)):
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert alive(workers) == []


def descendants(pid: int) -> list[int]:
    """Of ``pid``, if it has grandchildren: workers at work."""
    found = {p: [int(c) for c in Path(f"/proc/{p}/task/{p}/children").read_text().split()] for p in [pid]}
    grown = [grandchild for host in found[pid] for grandchild in children(host)]
    return [*found[pid], *grown] if grown else []


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def test_given_models_are_evaluated_in_workers_too() -> None:
    class Own(torch.nn.Module):  # of no module: it cannot be sent to another process
        def __init__(self) -> None:
            super().__init__()
            self.flat = torch.nn.Linear(192, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return cast("torch.Tensor", self.flat(x.flatten(1)))

    torch.manual_seed(0)
    networks = {"a": Own(), "b": Own()}
    images, labels = torch.rand(12, 3, 8, 8), torch.arange(12) % 2
    one, two = (
        bench.evaluate(networks, images, labels, attacks=["fgsm"], workers=n, trust="off") for n in (1, 2)
    )
    assert one.samples.equals(two.samples)
    assert len(one.samples) == 2 * 2 * 3 * 12


def test_workers_are_forked_on_a_cpu_alone() -> None:
    zoo = cast("Any", SimpleNamespace(device="cuda:0"))
    with (
        pytest.raises(UserError, match="--workers 2: on cuda:0, one process does everything"),
        on_this_machine(zoo, SILENT, 2, fresh=False),
    ):
        pass
    with on_this_machine(zoo, SILENT, None, fresh=False) as executor:
        assert not isinstance(executor, Crew)


@pytest.mark.parametrize("given", ["0", "-1", "two", "1.5"])
def test_a_number_of_workers_is_a_count(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["run", "fgsm_pgd", f"--workers={given}"])
    assert caught.value.code == 2
    assert f"'{given}' is not a number of workers (1 or more)" in capsys.readouterr().err


def test_a_cluster_has_workers_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tiny.yaml").write_text(SUITE)
    options = ["--executor", "ray", "--workers", "2", "--results", str(tmp_path / "r")]
    assert main(["run", str(tmp_path / "tiny.yaml"), *options]) == 2
    assert (
        capsys.readouterr().err == "bench: --workers: on a Ray cluster, each core is a worker; leave it out\n"
    )


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "max 100000\n"}, 4),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({}, 4),
    ],
)
def test_cores_within_the_limit_of_a_container(
    files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(cores, "CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 2, 5, 6}, raising=False)
    assert cores.allowed() == expected


@pytest.mark.parametrize(
    ("others", "own", "free"), [(0.0, 1.0, 4), (0.3, 1.0, 4), (1.0, 1.0, 3), (2.6, 0.0, 1), (4.0, 0.0, 1)]
)
def test_cores_that_others_use_are_not_free(
    others: float, own: float, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten seconds in which this process computed for ``own`` of each, and others on as many cores as said."""
    bound, ticks = {0, 2, 3, 5}, os.sysconf("SC_CLK_TCK")
    moments = iter([(0.0, 0.0), (10.0, 1.0)])
    time_now = [0.0, 0.0]

    def stat(_: Any, **__: Any) -> str:
        busy = 10 * (others + own) * time_now[1] / len(bound)
        ours, others_own = f"{int(busy * ticks)} 0 0 {10**6} 50 0 0 0 0 0", "99999 0 0 0 0 0 0 0"
        rows = [f"cpu{core} {ours if core in bound else others_own}" for core in range(6)]
        return "\n".join(["cpu  1 2 3 4 5 6 7 8 9 10", *rows, "intr 5"])

    def monotonic() -> float:
        time_now[:] = next(moments)
        return time_now[0]

    monkeypatch.setattr(time, "monotonic", monotonic)
    monkeypatch.setattr(Path, "read_text", stat)
    usage = SimpleNamespace
    monkeypatch.setattr(resource, "getrusage", lambda _: usage(ru_utime=5 * own * time_now[1], ru_stime=0.0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: bound, raising=False)
    monkeypatch.setattr(cores, "allowed", lambda: 4)
    assert cores.Load().free() == free


def only_here(backward: Callable[..., None]) -> Callable[..., None]:
    """``backward``, which fails in forked processes as torch's does where it sees a GPU."""
    here = os.getpid()

    def computed(*args: Any, **kwargs: Any) -> None:
        if os.getpid() != here:
            raise RuntimeError("Unable to handle autograd's threading in combination with fork")
        backward(*args, **kwargs)

    return computed


@pytest.mark.parametrize(("broken", "loads"), [(False, 0), (True, 1)])
def test_where_a_forked_process_has_no_gradients_one_process_does_everything(
    *,
    broken: bool,
    loads: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As where torch sees a GPU: what has computed a gradient can fork none that does."""
    run = open_linear(tmp_path / "run")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with monkeypatch.context() as patch:
        if broken:
            patch.setattr(torch.Tensor, "backward", only_here(torch.Tensor.backward))
        assert attack(run, 2).loads == loads
    assert statuses(run) == ["ok"] * 3
    assert ("one process does everything: where torch sees a GPU" in caplog.text) == broken


@pytest.mark.parametrize(("device", "seen"), [("cpu", ""), ("auto", "0")])
def test_a_run_on_the_cpu_sees_no_gpu(device: str, seen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert main(["run", "no_such_suite", "--device", device]) == 2
    assert os.environ["CUDA_VISIBLE_DEVICES"] == seen
