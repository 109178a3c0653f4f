"""A run's units and trust checks as tasks: one process loads each model, and forks its tasks."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal

from adapters.cache.source import ModelSource
from bench import pulse
from bench.engine.models import Models
from bench.engine.plan import Unit
from bench.executors.examining import Examining, Parts
from bench.executors.host import Ended, Serve
from bench.executors.local import Worker, settle
from bench.executors.messages import Channel, reporting
from bench.executors.pool import TRIES, Pool, Task
from bench.ids import ModelId
from bench.store import OpenRun
from bench.trust.gather import Checks, Measured

if TYPE_CHECKING:
    from bench.engine.job import Job

Where = tuple[ModelId, ModelId | None]
"""What a task's host has loaded: the model that is attacked, and the one that its adversarials come from."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What to do: "attack" ``unit``, "wait" to do so, "help" another worker with it, or "examine" its model.

    To "attack" is to run it, unless another run is at it; to "wait", to run it once no other is; to "help",
    to compute a part of it. To "examine" is to measure ``parts``; without, all of it, once no other run is
    at it.
    """

    do: Literal["attack", "wait", "help", "examine"]
    unit: Unit
    parts: Parts = ()

    @property
    def task(self) -> Task:
        """It as a task of the host that has loaded what it needs. Help is offered once."""
        where: Where = self.unit.model, None if self.do == "examine" else self.unit.source
        return Task(self, where, most=1 if self.do == "help" else TRIES)


class Attacking:
    """Runs units of ``run``, and examines each model of ``units`` once it has no cell left to compute."""

    def __init__(self, job: "Job", zoo: ModelSource, run: OpenRun, units: list[Unit], *, fresh: bool) -> None:
        self._job, self._zoo, self._run, self._units, self._fresh = job, zoo, run, units, fresh
        self._checks = self._checks_of(self._models())
        self._taken: set[str] = set()

    def _models(self) -> Models:
        return Models(self._job, self._zoo, self._run.planned)

    def _checks_of(self, models: Models) -> Checks:
        return Checks(self._job, models, self._run, self._units, fresh=self._fresh)

    def due(self) -> list[Unit]:
        """A unit of each model that can be examined, and is not."""
        return self._checks.due()

    def serving(self, where: Where) -> Serve:
        """Load the models ``where`` tasks are forked; what carries the tasks out.

        That is done in the process that they are forked from.
        """
        models = self._models()
        with suppress(Exception):  # each unit meets the error again, and stores it
            models.load(*(model for model in where if model is not None))
        worker, checks = Worker(self._job, models, self._run), self._checks_of(models)

        def serve(request: Request, channel: Channel) -> bool | Measured | None:
            with pulse.watched(reporting(channel)):
                return examine(request) if request.do == "examine" else attack(request)

        def examine(request: Request) -> Measured | None:
            self._run.refresh()
            if request.parts:
                return checks.measure(request.unit.model, request.parts)
            checks.after(request.unit)
            return None

        def attack(request: Request) -> bool:
            unit, key = request.unit, request.unit.keys[0]
            if request.do == "help":
                return worker.help_with(unit)
            if request.do == "wait":
                with self._run.wait_for(key):
                    worker.run(unit)
                return True
            with self._run.claim(key) as ours:
                if ours:
                    worker.run(unit)
            return ours

        return serve

    def spare(self, running: list[Task]) -> Task | None:
        """Help with the unit of those ``running`` that has the fewest helpers, and parts left for one.

        There is none for a unit whose process was lost: memory may have run out. Nor where units have a time
        limit: how much one gets done within it must not depend on how many workers there are.
        """
        if self._job.suite.time_limit is not None:
            return None
        helpers = Counter(task.request.unit.key for task in running if task.request.do == "help")
        runners = [task for task in running if task.request.do in ("attack", "wait") and task.tries == 1]
        helped = [task.request.unit for task in runners if task.request.unit.key not in self._taken]
        unit = min(helped, key=lambda unit: helpers[unit.key], default=None)
        return None if unit is None else Request("help", unit).task

    def carry_out(
        self, pool: Pool, pending: list[Unit], due: list[Unit], finished: Callable[[str], None]
    ) -> None:
        """Run what is ``pending`` in ``pool``, examine models of ``due``; ``finished`` gets each label."""
        left = Counter(unit.model for unit in pending)
        for unit in last_models_together(pending, pool.workers):
            pool.add(Request("attack", unit).task)
        with closing(Examining(self._checks)) as examining:
            _examine(pool, examining, [unit for unit in due if not left[unit.model]])
            for unit in self._over(pool, examining):
                finished(unit.label)
                left[unit.model] -= 1
                if not left[unit.model]:
                    _examine(pool, examining, self._checks.due(unit.model))
            for unit in examining.elsewhere:  # now that no other run waits for what this one has claimed
                pool.add(Request("examine", unit).task)
            for _ in self._over(pool, examining):
                pass

    def _over(self, pool: Pool, examining: Examining) -> Iterator[Unit]:
        """Each unit as it comes to its end; what is measured meanwhile goes to ``examining``."""
        for task, ended in pool.ended():
            request: Request = task.request
            if ended.error is not None:
                raise ended.error
            if request.do == "examine":
                _say_if_lost(request.unit, ended)
                if request.parts:
                    examining.ended(request.unit.model, request.parts, ended.value)
            elif self._is_over(request, ended, pool):
                yield request.unit

    def _is_over(self, request: Request, ended: Ended, pool: Pool) -> bool:
        """Whether the unit of ``request``, which has ``ended``, is at its end with it."""
        if request.do == "help":
            if not ended.value:
                self._taken.add(request.unit.key)
            return False
        if ended.value is False:
            pool.add(Request("wait", request.unit).task)
            return False
        settle(self._run, request.unit, _failure(ended))
        return True


def _examine(pool: Pool, examining: Examining, due: list[Unit]) -> None:
    """Let the models of ``due`` be examined before anything else that waits."""
    for unit in due:
        for parts in reversed(examining.begin(unit)):
            pool.add(Request("examine", unit, parts).task, first=True)


def last_models_together(units: list[Unit], workers: int) -> list[Unit]:
    """``units``, those of the last models, as many as there are ``workers``, by turns.

    Nothing of a model can be examined before its last unit ends: were that one of the last model alone, other
    workers would be idle meanwhile.
    """
    models = list(dict.fromkeys(unit.model for unit in units))
    last = models[-workers:]
    by_turns = zip_longest(*([unit for unit in units if unit.model == model] for model in last))
    return [unit for unit in units if unit.model not in last] + [
        unit for turn in by_turns for unit in turn if unit is not None
    ]


def _failure(ended: Ended) -> str | None:
    """Why a unit did not end by itself; None if it did."""
    return f"its worker was lost {TRIES} times: {ended.fate}" if ended.is_lost else None


def _say_if_lost(unit: Unit, ended: Ended) -> None:
    if (failure := _failure(ended)) is not None:
        log.warning("the checks of %s: %s; its cells stay unchecked", unit.model, failure)
