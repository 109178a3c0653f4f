"""Tasks on a Ray cluster: one for each model to train, then one for each unit.

They meet in the folders that they share. A task of its own for each unit keeps every worker busy to the end,
and a worker that dies takes no other unit along. Ray starts tasks in the order in which they are given, which
is the models', so that a worker seldom loads a model twice.
"""

import io
import logging
import os
import shlex
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from functools import cache, partial
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError, TaskCancelledError
from ray.util.queue import Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from adapters.cache.card import Card
from adapters.cache.zoo import Zoo
from adapters.classifier import Predictions
from bench.engine import interrupt
from bench.engine.interrupt import Interrupted
from bench.engine.job import Job
from bench.engine.models import Models
from bench.engine.options import Options
from bench.engine.plan import Unit
from bench.engine.progress import Progress
from bench.errors import LostWorkerError, UserError, asked_at
from bench.executors import node
from bench.executors.local import settle, unfinished
from bench.executors.messages import Reader
from bench.ids import ModelId
from bench.store import OpenRun
from bench.suite.suite import Suite
from bench.trust.gather import Checks

T = TypeVar("T")
Call = tuple[Any, ...]
"""A function that a task calls, and what it is given."""
TRIES = 3
"""How often a task is started whose worker is lost each time: what kills it by itself ends as errors."""
MAIL = 0.5
"""Seconds between two looks into the channel, which is another process's."""
STORE = 80 * 2**20
"""Bytes of Ray's shared memory on this machine, near the least it takes: nothing large goes through it."""
POLL = 0.1
"""Seconds between two looks at what the workers say."""
PATIENCE = 10.0
"""Seconds that a cluster has to answer."""

log = logging.getLogger(__name__)


@contextmanager
def on_ray(suite: Suite, options: Options, progress: Progress) -> Iterator["OnRay"]:
    """The cluster at $RAY_ADDRESS, or one of this machine that lives until the run ends."""
    with redirect_stdout(io.StringIO()):  # Ray says there what the cells of a dead worker say
        _connect(os.environ.get("RAY_ADDRESS"))
        try:
            with interrupt.deferred():  # again: Ray took SIGTERM for itself
                yield OnRay(suite, options, progress)
        finally:
            ray.shutdown()


class OnRay:
    """Trains and attacks in tasks. This process only plans, and watches."""

    def __init__(self, suite: Suite, options: Options, progress: Progress) -> None:
        device = _device(options.device)
        self._order = node.Order(
            suite.model_dump_json(), _everywhere(options, device), log.getEffectiveLevel()
        )
        self._needs = {"num_cpus": 1, "num_gpus": 1} if device == "cuda" else {"num_cpus": 1}
        self._progress = progress
        self._reader = Reader(progress)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._channel = Queue(
            actor_options={"num_cpus": 0, "scheduling_strategy": here}
        )  # another node may be lost
        self._next_mail = 0.0
        self.zoo = Zoo(self._order.options.models, progress.training, device)

    def surroundings(self, job: Job) -> dict[str, Any]:  # noqa: ARG002 (the workers read the suite themselves)
        """With what one of the workers runs; the command is this process's."""
        found = self._alone(node.survey, "a look at a worker")
        return {**found, "command": shlex.join(sys.argv)}

    def train(self, job: Job) -> dict[ModelId, Card]:
        """Train what is not trained yet, side by side; the cards of all."""
        untrained = [model for model, recipe in job.recipes.items() if self.zoo.card(recipe) is None]
        if untrained:
            with asked_at("backbone"):
                self._alone(node.train_backbone, "the training of the backbone")
        for model, task in self._finished({model: (node.train, model) for model in untrained}):
            with job.asking_for(model):
                _result(task, f"the training of {job.recipes[model].name}")
        return job.for_each(partial(node.shared_card, self.zoo))

    def clean(self, job: Job, models: dict[ModelId, Card]) -> dict[ModelId, Predictions]:
        """What ``models`` make of the samples, side by side."""
        found = {}
        for model, task in self._finished({m: (node.clean, m, card.sha256) for m, card in models.items()}):
            with job.asking_for(model):
                found[model] = _result(task, f"a look at {job.title(model)}")
        return found

    def attack(self, job: Job, run: OpenRun, units: list[Unit], chosen: list[Unit]) -> None:
        """Run ``chosen``, and examine each model of ``units`` that has been attacked."""
        path, pending = run.path.absolute(), unfinished(chosen, run)
        if pending:
            with self._progress.units(pending) as finished:
                for unit, task in self._finished({unit: (node.attack, path, unit) for unit in pending}):
                    settle(run, unit, _failure(task))
                    finished(unit.label)
        due = Checks(
            job, Models(job, self.zoo, run.planned), run, units, fresh=self._order.options.fresh
        ).due()
        for unit, task in self._finished({unit: (node.examine, path, unit) for unit in due}):
            try:
                _result(task, f"the checks of {unit.model}")
            except LostWorkerError as error:
                log.warning("%s; its cells stay unchecked", error)

    def _task(self, do: Callable[..., T], *arguments: object) -> Any:
        """Start ``do`` on the cluster. Ray itself tries nothing again: who has lost a worker is to say so."""
        return (
            _remote(do).options(**self._needs, max_retries=0).remote(self._order, self._channel, *arguments)
        )

    def _alone(self, do: Callable[..., T], what: str) -> T:
        """What the task ``do`` gives while nothing else runs."""
        ((_, task),) = self._finished({None: (do,)})
        given: T = _result(task, what)
        return given

    def _finished(self, calls: dict[T, Call]) -> Iterator[tuple[T, Any]]:
        """What ``calls`` are about, and its task, as each ends.

        Stops all that run if the run is asked to stop. A task whose worker or node is lost is tried again,
        wherever there is room, up to TRIES times in all.
        """
        running = {self._task(*call): (subject, 1) for subject, call in calls.items()}
        moved = time.monotonic()
        while running:
            done = _look(list(running))
            if done or time.monotonic() > self._next_mail:
                self._read_mail()
            for task in done:
                subject, tries = running.pop(task)
                if tries == TRIES or not _is_lost(task):
                    yield subject, task
                    continue
                log.warning("a Ray worker was lost; its task is tried again (%d of %d)", tries + 1, TRIES)
                running[self._task(*calls[subject])] = subject, tries + 1
            if done:
                moved = time.monotonic()
            elif time.monotonic() - moved > PATIENCE:
                self._check_room()
                moved = time.monotonic()
            try:
                interrupt.check()
            except Interrupted:
                _stop(list(running))
                raise

    def _check_room(self) -> None:
        """Raise LostWorkerError if no node is left that could take a task: Ray would wait for one forever."""
        if not any(_has_room(found, self._needs) for found in ray.nodes()):
            needs = " and ".join(f"{count} of {name}" for name, count in self._needs.items())
            raise LostWorkerError(
                f"no node of the Ray cluster is left that has {needs}; fix it and run again"
            )

    def _read_mail(self) -> None:
        self._next_mail = time.monotonic() + MAIL
        for message in self._channel.get_nowait_batch(self._channel.qsize()):
            self._reader.read(message)


def _connect(address: str | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(address="local", include_dashboard=False, object_store_memory=STORE, **quiet)
        return
    try:
        _check_answers(address)
        ray.init(**quiet)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"RAY_ADDRESS={address}: no Ray cluster answers there ({_first_line(error)}); unset it to use"
            " this machine"
        ) from None


def _check_answers(address: str) -> None:
    """Raise OSError if nothing listens at ``address``: Ray would go on trying for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()


def _device(asked: str) -> str:
    """The device of each task. Raises UserError if the cluster does not have it."""
    has_gpu = ray.cluster_resources().get("GPU", 0) >= 1
    if asked == "auto":
        return "cuda" if has_gpu else "cpu"
    if asked not in ("cpu", "cuda"):
        raise UserError(f"--device {asked}: Ray chooses the GPU of each task; give auto, cpu or cuda")
    if asked == "cuda" and not has_gpu:
        raise UserError("--device cuda: no node of the Ray cluster has a GPU; give auto or cpu")
    return asked


def _everywhere(options: Options, device: str) -> Options:
    """``options`` as every node reads them, wherever it stands."""
    places = options.places
    return replace(
        options,
        device=device,
        results=options.results.absolute(),
        cache=options.cache.absolute(),
        kept=options.kept and options.kept.absolute(),
        data_root=places.root.absolute(),
        near=tuple(folder.absolute() for folder in places.near),
    )


_remote = cache(ray.remote)
"""The same function is sent to the workers once."""


def _result(task: Any, what: str | None = None) -> Any:
    """What ``task`` gave; raises what it raised.

    If its worker died, that is LostWorkerError, which says ``what`` the task did.
    """
    try:
        return ray.get(task)
    except RayTaskError as error:
        if not isinstance(error.cause, RayError):
            raise error.cause from None
        lost: RayError = error.cause
    except RayError as error:
        lost = error
    reason = f"its Ray worker was lost: {_first_line(lost)}"
    raise LostWorkerError(f"{what}: {reason}" if what else reason)


def _failure(task: Any) -> str | None:
    """Why ``task`` did not end by itself; None if it did. Raises UserError if the run cannot go on."""
    try:
        _result(task)
    except LostWorkerError as error:
        return str(error)
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 (the cell says it)
        return f"{type(error).__name__}: {error}"
    return None


def _stop(tasks: list[Any]) -> None:
    """Cancel ``tasks`` and wait for those that run to store what they have: a second signal ends the wait."""
    for task in tasks:
        ray.cancel(task)
    while tasks:
        ended = _look(tasks)
        tasks = [task for task in tasks if task not in ended]


def _look(tasks: list[Any]) -> list[Any]:
    """Those of ``tasks`` that have ended. It sleeps in Python: a wait inside Ray loses the second signal."""
    time.sleep(POLL)
    done, _ = ray.wait(tasks, num_returns=len(tasks), timeout=0)
    return list(done)


def _is_lost(task: Any) -> bool:
    """Whether the worker of ``task``, which has ended, died; an error that it raised itself is its end."""
    try:
        ray.get(task)
    except RayTaskError as error:
        return isinstance(error.cause, RayError)  # what it asked of another worker that is gone
    except TaskCancelledError:
        return False
    except RayError:
        return True
    except Exception:  # noqa: BLE001 (whoever settles the task says it)
        return False
    return False


def _has_room(found: dict[str, Any], needs: dict[str, int]) -> bool:
    """Whether a node, as ray.nodes() describes it, lives and has what a task ``needs``."""
    names = {"num_cpus": "CPU", "num_gpus": "GPU"}
    return bool(found["Alive"]) and all(
        found["Resources"].get(names[name], 0) >= count for name, count in needs.items()
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
