"""Trainings, units and trust checks on every core: one-thread worker processes, which share what is loaded.

No result depends on how many there are: each task is computed by one thread, as it would be in this process.
A task whose process is lost is tried again, after all others. What is one task alone stays in this process,
where it starts at once.
"""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from adapters.cache.card import Card
from adapters.cache.source import ModelSource
from adapters.cache.zoo import Zoo
from bench.attacks.registry import default_libraries, problem
from bench.engine.models import clean_predictions
from bench.engine.plan import Unit
from bench.engine.progress import Progress
from bench.errors import LostWorkerError, UserError
from bench.executors.attacking import Attacking
from bench.executors.cores import Load, can_fork, forked_ones_compute, one_thread
from bench.executors.executor import Executor
from bench.executors.host import Ended
from bench.executors.local import Local, unfinished
from bench.executors.messages import Channel, Reader, announcing
from bench.executors.pool import TRIES, Pool, Task
from bench.ids import ModelId
from bench.loading import uncollected
from bench.store import OpenRun
from bench.trust.effort import PARTS

if TYPE_CHECKING:
    from adapters.classifier import Predictions
    from bench.engine.job import Job

Stage = Literal["unprobed", "backbone", "model"]
"""What is trained after what: a backbone, its new head where that is trained first, the models on it."""
STAGES: tuple[Stage, ...] = ("unprobed", "backbone", "model")
NEEDED = (
    "adapters.backbones.networks",
    "adapters.methods.adaptation",
    "bench.engine.prepare",
    "bench.trust.examine",
)
"""What loads slowly."""
OF_MODELS = ("adapters.cache.checks", "peft", "torchvision")
"""What trained models load beside it: a second in each process, if they did so there."""
FEW = 2
"""Tasks from which workers are worth their start."""

log = logging.getLogger(__name__)


class Crew:
    """Trains and attacks in ``workers`` processes; None: as many as cores are free once there is work.

    What another run has measured of a model counts unless ``fresh``.
    """

    def __init__(self, zoo: ModelSource, progress: Progress, workers: int | None, *, fresh: bool) -> None:
        self.zoo = zoo
        self._progress = progress
        self._asked = workers
        self._load = Load()
        self._fresh = fresh
        self._here = Local(zoo, progress, fresh=fresh)

    def _workers(self, tasks: int) -> int:
        """In how many processes to carry out so many ``tasks``."""
        workers = 1 if tasks < FEW else min(tasks, self._asked or self._load.free())
        if workers > 1 and not forked_ones_compute():
            log.warning(
                "one process does everything: where torch sees a GPU, none can be forked from one that has"
                " computed gradients; set CUDA_VISIBLE_DEVICES to nothing before torch is first used"
            )
            return 1
        if tasks:
            log.info(
                "tasks: %d, worker processes: %s", tasks, workers if workers > 1 else "none but this one"
            )
        return workers

    def surroundings(self, job: "Job") -> dict[str, Any]:
        """What this process runs with, and so the forked ones.

        Raises UserError if the suite's precision is not available.
        """
        return self._here.surroundings(job)

    def train(self, job: "Job") -> dict[ModelId, Card]:
        """Train what is not trained yet, side by side; the cards of all."""
        cards = job.for_each(self.zoo.card)
        found = {model: card for model, card in cards.items() if card is not None}
        if len(found) == len(cards):
            return found
        if isinstance(self.zoo, Zoo):
            untrained = [model for model, card in cards.items() if card is None]
            for stage in STAGES:
                self._train_all(job, self.zoo, stage, untrained)
        return self._here.train(job)

    def _train_all(self, job: "Job", zoo: Zoo, stage: Stage, models: list[ModelId]) -> None:
        """Bring what ``models`` need through ``stage``."""
        missing = _missing(job, zoo, stage, models)
        if (workers := self._workers(len(missing))) == 1:
            for model in missing:
                with job.asking_for(model):
                    _bring_through(zoo, job, stage, model)
            return

        def train(model: ModelId, channel: Channel) -> None:
            _bring_through(Zoo(zoo.cache, announcing(channel), zoo.device), job, stage, model)

        self._all(job, train, missing, workers, "the training of")

    def clean(self, job: "Job", models: dict[ModelId, Card]) -> "dict[ModelId, Predictions]":
        """What ``models`` make of the samples, side by side."""
        if (workers := self._workers(len(models))) == 1:
            return self._here.clean(job, models)
        load_libraries(self.zoo)

        def look(model: ModelId, _: Channel) -> "Predictions":
            return clean_predictions(job, self.zoo, model, models[model].sha256)

        found = self._all(job, look, list(models), workers, "a look at")
        return {model: found[model] for model in models}

    def _all(
        self,
        job: "Job",
        do: Callable[[ModelId, Channel], Any],
        models: list[ModelId],
        workers: int,
        what: str,
    ) -> dict[ModelId, Any]:
        """What ``do`` gives of each of ``models``; an error names the model's place in the suite."""
        found = {}
        with Pool(workers, lambda _: do, Reader(self._progress)) as pool:
            for model in models:
                pool.add(Task(model))
            for task, ended in pool.ended():
                with job.asking_for(task.request):
                    found[task.request] = _value(ended, f"{what} {job.title(task.request)}")
        return found

    def attack(self, job: "Job", run: OpenRun, units: list[Unit], chosen: list[Unit]) -> None:
        """Run ``chosen``, and examine each model of ``units`` that has been attacked."""
        attacking = Attacking(job, self.zoo, run, units, fresh=self._fresh)
        pending, due = unfinished(chosen, run), attacking.due()
        if (workers := self._workers(len(pending) * _parts(job) + len(due) * len(PARTS))) == 1:
            self._here.attack(job, run, units, chosen)
            return
        load_libraries(self.zoo)
        with (
            Pool(workers, attacking.serving, Reader(self._progress), attacking.spare) as pool,
            self._progress.units(pending) as finished,
        ):
            attacking.carry_out(pool, pending, due, finished)


@contextmanager
def on_this_machine(
    zoo: ModelSource, progress: Progress, workers: int | None, *, fresh: bool
) -> Iterator[Executor]:
    """What trains and attacks on this machine; see Crew.

    One process uses a GPU, or a system whose processes cannot be forked.

    Raises UserError if more ``workers`` are asked for there.
    """
    if zoo.device == "cpu" and can_fork():
        with one_thread(zoo.device):
            yield Crew(zoo, progress, workers, fresh=fresh)
        return
    if workers is not None and workers > 1:
        where = (
            f"on {zoo.device}, one process does everything"
            if zoo.device != "cpu"
            else "this system cannot fork worker processes"
        )
        raise UserError(f"--workers {workers}: {where}; leave it out, or give --workers 1")
    with one_thread(zoo.device):
        yield Local(zoo, progress, fresh=fresh)


def _parts(job: "Job") -> int:
    """About how many workers can be at one unit of ``job``: each at samples that are attacked together."""
    from bench.engine.prepare import batch_on_cpu

    height, width = job.samples.input_shape[1:]
    return math.ceil(len(job.samples) / (job.suite.batch_size or batch_on_cpu(height * width)))


def _missing(job: "Job", zoo: Zoo, stage: Stage, models: list[ModelId]) -> list[ModelId]:
    """One of ``models`` for each thing that has not come through ``stage``; several may need the same."""
    found: dict[str, ModelId] = {}
    for model in models:
        recipe = job.recipes[model]
        with job.asking_for(model):
            if stage == "model":
                key, there = recipe.key, zoo.card(recipe) is not None
            else:
                backbone = recipe.backbone if stage == "backbone" else recipe.backbone.unprobed
                key, there = backbone.key, zoo.has_backbone(backbone)
        if not there:
            found.setdefault(key, model)
    return list(found.values())


def _bring_through(zoo: Zoo, job: "Job", stage: Stage, model: ModelId) -> None:
    recipe = job.recipes[model]
    if stage == "model":
        zoo.ensure(recipe)
    else:
        zoo.ensure_backbone(recipe.backbone if stage == "backbone" else recipe.backbone.unprobed)


def _value(ended: Ended, what: str) -> Any:
    """What a task gave.

    Raises what it raised, and LostWorkerError, which says ``what`` it did, if its process is gone.
    """
    if ended.error is not None:
        raise ended.error
    if ended.is_lost:
        raise LostWorkerError(f"{what}: its worker was lost {TRIES} times: {ended.fate}")
    return ended.value


def load_libraries(zoo: ModelSource) -> None:
    """Import what workers need for models of ``zoo``: once here, or each of them would."""
    with uncollected():
        for module in (*NEEDED, *(OF_MODELS if isinstance(zoo, Zoo) else ())):
            import_module(module)
    for library in default_libraries():
        problem(library)  # imports it, where it can be
