"""What the tasks of a run on Ray do: as in its own process, with what a worker keeps between two tasks."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from rich.console import Console

from adapters.cache.card import Card
from adapters.cache.recipe import Recipe
from adapters.cache.zoo import Zoo
from adapters.classifier import Predictions
from bench import pulse
from bench.engine import interrupt, provenance
from bench.engine.interrupt import Interrupted
from bench.engine.job import Job, make_job
from bench.engine.logs import set_level
from bench.engine.models import Models, clean_predictions
from bench.engine.options import Options
from bench.engine.plan import Unit, make_units
from bench.engine.progress import Progress
from bench.errors import LostWorkerError, SuiteError, UserError
from bench.executors.cores import one_thread
from bench.executors.local import Local, run_units
from bench.executors.messages import Channel, announcing, log_to, reporting
from bench.ids import ModelId
from bench.store import join_run
from bench.suite.suite import Suite
from bench.trust.gather import Checks

SHARE = "--results, $BENCH_CACHE and --data-root must be folders that all nodes of the cluster share"
SILENT = Progress(Console(quiet=True))


@dataclass(frozen=True)
class Order:
    """What every task must know: suite (JSON), options with absolute folders and device, how much to log."""

    suite: str
    options: Options
    level: int


def survey(order: Order, channel: Channel) -> dict[str, Any]:
    """Versions and hardware here. Raises UserError if the suite cannot run with them."""
    with _at_work(order, channel):
        return Local(_zoo(order, channel), SILENT, fresh=False).surroundings(_job(order))


def train_backbone(order: Order, channel: Channel) -> None:
    """Train or fetch what all models are adapted from."""
    with _at_work(order, channel):
        _zoo(order, channel).ensure_backbone(next(iter(_job(order).recipes.values())).backbone)


def train(order: Order, channel: Channel, model: ModelId) -> None:
    """Train ``model``."""
    with _at_work(order, channel):
        _zoo(order, channel).ensure(_job(order).recipes[model])


def clean(order: Order, channel: Channel, model: ModelId, sha256: str) -> Predictions:
    """What ``model``, trained to these weights, makes of the samples."""
    with _at_work(order, channel):
        return clean_predictions(_job(order), _zoo(order, channel), model, sha256)


def attack(order: Order, channel: Channel, run: Path, unit: Unit) -> None:
    """Run ``unit`` of the run in the folder ``run``, and examine its model if that was the last of it."""
    with _at_work(order, channel):
        here = _desk(order, run)
        here.check(unit)
        with pulse.watched(reporting(channel)):
            run_units(here.job, here.models, here.run, [unit], SILENT, here.checks.after)


def examine(order: Order, channel: Channel, run: Path, unit: Unit) -> None:
    """Examine the model of ``unit``, which has been attacked."""
    with _at_work(order, channel):
        here = _desk(order, run)
        here.run.refresh()
        with pulse.watched(reporting(channel)):
            here.checks.after(unit)


@contextmanager
def _at_work(order: Order, channel: Channel) -> Iterator[None]:
    """One thread, the log and the signals of a run.

    Ray cancels a task by SIGINT, which waits for a batch or epoch to end.
    """
    log_to(channel)
    set_level(order.level)
    try:
        with one_thread(order.options.device), interrupt.deferred():
            yield
    except Interrupted as stop:
        raise LostWorkerError(f"its Ray worker on {socket.gethostname()} was told to stop ({stop})") from None
    except SuiteError as error:
        raise UserError(f"on {socket.gethostname()}: {error}") from None


class _Desk:
    """A run, and what this worker has loaded for it."""

    def __init__(self, order: Order, path: Path) -> None:
        self.job = _job(order)
        zoo = Zoo(order.options.models, lambda _: lambda *_: None, order.options.device)
        cards = self.job.for_each(partial(shared_card, zoo))
        self.units = make_units(self.job.suite, cards, self.job.samples.content_hash)
        if not path.is_dir():
            raise UserError(f"{socket.gethostname()}: {path} is not there; {SHARE}")
        self.run = join_run(
            path, provenance.collect(zoo.device, self.job.packages), images=order.options.save_adversarials
        )
        self.models = Models(self.job, zoo, self.run.planned)
        self.checks = Checks(self.job, self.models, self.run, self.units, fresh=order.options.fresh)

    def check(self, unit: Unit) -> None:
        """Raise UserError unless ``unit`` would be planned here too.

        If it would, its key names what this worker computes.
        """
        if unit not in self.units:
            raise UserError(
                f"{socket.gethostname()}: plans different cells from the driver; install the same bench and"
                " attack libraries there"
            )


def shared_card(zoo: Zoo, recipe: Recipe) -> Card:
    """The card of the model of ``recipe``, which has been trained.

    Raises UserError if that cannot be seen from here.
    """
    card = zoo.card(recipe)
    if card is None:
        raise UserError(f"{socket.gethostname()}: {zoo.cache} does not hold {recipe.name}; {SHARE}")
    return card


def _zoo(order: Order, channel: Channel) -> Zoo:
    """The zoo that trains here, and tells the driver of it."""
    return Zoo(order.options.models, announcing(channel), order.options.device)


@lru_cache(maxsize=1)
def _job(order: Order) -> Job:
    return make_job(Suite.model_validate_json(order.suite), order.options.places, order.options.permission)


@lru_cache(maxsize=1)
def _desk(order: Order, run: Path) -> _Desk:
    return _Desk(order, run)
