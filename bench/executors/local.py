"""Everything in this process, one after another; units that another process is at are left to it."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from adapters.cache.card import Card
from adapters.cache.source import ModelSource
from bench import pulse
from bench.attacks.spec import carries, changes_with_eps
from bench.engine import interrupt, provenance
from bench.engine.models import Models, clean_predictions
from bench.engine.plan import Unit
from bench.engine.progress import Progress
from bench.errors import UserError
from bench.executors.limit import TimeLimitError, time_limit
from bench.ids import ModelId
from bench.store import OpenRun
from bench.trust.gather import Checks

if TYPE_CHECKING:
    from adapters.classifier import Predictions
    from bench.engine.job import Job
    from bench.engine.runner import Target, UnitResult
    from bench.store.records import Floats, Records

log = logging.getLogger(__name__)


class Local:
    """Trains and attacks in this process.

    What another run has measured of a model counts unless ``fresh``.
    """

    def __init__(self, zoo: ModelSource, progress: Progress, *, fresh: bool) -> None:
        self.zoo = zoo
        self._progress = progress
        self._fresh = fresh

    def surroundings(self, job: "Job") -> dict[str, Any]:
        """What this process runs with. Raises UserError if the suite's precision is not available."""
        from adapters.precision import unavailable

        suite = job.suite
        if reason := unavailable(suite.precision, self.zoo.device):
            raise UserError(
                f"{suite.name}: precision {suite.precision}: {reason}; set precision to fp32 or bf16"
            )
        return provenance.collect(self.zoo.device, job.packages)

    def train(self, job: "Job") -> dict[ModelId, Card]:
        """Train what is not trained yet; the cards of all."""
        return job.for_each(self.zoo.ensure)

    def clean(self, job: "Job", models: dict[ModelId, Card]) -> "dict[ModelId, Predictions]":
        """What ``models`` make of the samples, one after another."""
        found = {}
        for model, card in models.items():
            with job.asking_for(model):
                found[model] = clean_predictions(job, self.zoo, model, card.sha256)
        return found

    def attack(self, job: "Job", run: OpenRun, units: list[Unit], chosen: list[Unit]) -> None:
        """Run ``chosen``, and examine each model of ``units`` that has been attacked."""
        models = Models(job, self.zoo, run.planned)
        checks = Checks(job, models, run, units, fresh=self._fresh)
        with pulse.watched(self._progress.at):
            run_units(job, models, run, chosen, self._progress, checks.after)
            checks.finish()


def run_units(
    job: "Job",
    models: Models,
    run: OpenRun,
    units: list[Unit],
    progress: Progress,
    then: Callable[[Unit], None],
) -> None:
    """Run the ``units`` that have cells missing, storing each as it finishes.

    A failing unit becomes error cells.

    ``then`` is called after the last of each model, while it is loaded. Raises Interrupted if the run was
    asked to stop, and StorageError.
    """
    pending = unfinished(units, run)
    if not pending:
        return
    worker = Worker(job, models, run)
    elsewhere = []
    left = Counter(unit.model for unit in pending)
    with progress.units(pending) as finished:
        for unit in pending:
            with run.claim(unit.keys[0]) as ours:
                if ours:
                    worker.run(unit)
            if ours:
                finished(unit.label)
                left[unit.model] -= 1
                if not left[unit.model]:
                    then(unit)
            else:
                elsewhere.append(unit)
        for unit in elsewhere:
            with run.wait_for(unit.keys[0]):
                worker.run(unit)
            finished(unit.label)


def unfinished(units: list[Unit], run: OpenRun) -> list[Unit]:
    """Those of ``units`` that have cells missing; those that failed in an earlier attempt come last."""
    pending = [unit for unit in units if run.missing(unit.keys)]
    return sorted(pending, key=lambda unit: any(run.entries[key].status == "error" for key in unit.keys))


def settle(run: OpenRun, unit: Unit, failure: str | None) -> None:
    """Take note of how ``unit``, which another process was at, has ended.

    ``failure`` is why, if not by itself: of the cells that run.json says nothing new of, that process could
    say nothing more.
    """
    before = {key: run.entries[key] for key in unit.keys}
    run.refresh()
    if failure is None:
        return
    log.warning("%s failed: %s", unit.label, failure)
    for key in run.missing(unit.keys):
        if run.entries[key] == before[key]:
            run.write_error(key, failure)
    run.save("running")


class Worker:
    """Runs claimed units."""

    def __init__(self, job: "Job", models: Models, run: OpenRun) -> None:
        self.job = job
        self.models = models
        self.store = run

    def run(self, unit: Unit) -> None:
        """Bring ``unit``, which this process has claimed, to its end, unless another process has done so."""
        if (left := self._left_of(unit)) is None:
            return
        interrupt.check()
        with pulse.doing(left.label, len(left.cells)):
            try:
                self._attack(left, self._target_of(left))
            except UserError:
                raise
            except (Exception, TimeLimitError) as error:  # noqa: BLE001 (the cell says it)
                self._fail(left, _reason(error, self.job.suite.time_limit))

    def help_with(self, unit: Unit) -> bool:
        """Compute a part of ``unit``, which another process has claimed; False if there is nothing to do.

        What fails here fails there too, and is stored there.
        """
        from bench.executors.parts import help_with

        if (left := self._left_of(unit)) is None:
            return False
        try:
            return help_with(left, self._target_of(left), self.store)
        except UserError:
            raise
        except Exception as error:  # noqa: BLE001 (as above)
            log.info("%s: no help: %s", unit.label, _reason(error, None))
            return False

    def _left_of(self, unit: Unit) -> Unit | None:
        """``unit`` with the cells that nobody has finished; None if there are none."""
        self.store.refresh()
        missing = set(self.store.missing(unit.keys))
        if not missing:
            return None
        if carries(unit.attack):
            return unit
        return replace(unit, cells=tuple(cell for cell in unit.cells if cell.key in missing))

    def _attack(self, unit: Unit, target: "Target") -> None:
        """Attack and store.

        What fails at several eps goes on at each by itself: only those that fail then are lost.
        """
        from bench.executors.parts import one_by_one

        try:
            result = self._within_limit(unit, target)
        except UserError:
            raise
        except Exception as error:
            if len(unit.cells) == 1 or carries(unit.attack) or not changes_with_eps(unit.attack):
                raise
            log.info("%s: %s: %s; each eps by itself", unit.label, type(error).__name__, error)
            for one in one_by_one(unit, self.store):
                self.run(one)
        else:
            self._finish(unit, result)

    def _within_limit(self, unit: Unit, target: "Target") -> "UnitResult":
        from bench.executors.parts import run_in_parts

        limit = self.job.suite.time_limit
        with time_limit(
            limit, lambda: self._fail(unit, f"it hung in native code beyond the time limit of {limit:g} s")
        ):
            return run_in_parts(unit, target, self.store)

    def _target_of(self, unit: Unit) -> "Target":
        models = [model for model in (unit.model, unit.source) if model is not None]
        target, *source = (loaded.target for loaded in self.models.load(*models))
        if unit.way is not None:
            from bench.engine.adaptive_target import adaptive_target

            return adaptive_target(target, unit.way, self.job.suite.draws.attack)
        return replace(target, source=source[0] if source else None)

    def _finish(self, unit: Unit, result: "UnitResult") -> None:
        with pulse.unwatched():  # the attack on a few samples again is no progress
            self._keep_strips(unit, result)  # before its cell, which nobody computes again for their sake
        share = len(unit.cells)
        seconds, forwards, backwards = (
            round(result.seconds / share, 4),
            result.forwards // share,
            result.backwards // share,
        )
        for key, records in zip(unit.keys, result.records, strict=True):
            self.store.write_cell(key, records, seconds=seconds, forwards=forwards, backwards=backwards)
        stored = (result.images if self.store.images else None) or ()
        for key, records, images in zip(unit.keys, result.records, stored, strict=False):
            self._store_images(unit, key, records, images)
        self.store.save("running")
        self.store.drop_parts(unit.key)
        spent = (
            f"{result.forwards:,} forward and {result.backwards:,} backward passes in {result.seconds:.1f} s"
        )
        log.info("%s: %d cells, %s", unit.label, share, spent)

    def _keep_strips(self, unit: Unit, result: "UnitResult") -> None:
        from bench.engine.strips import strips

        for i, key in enumerate(unit.keys):
            asked = self.store.strips.get(key)
            try:
                for which, strip in strips(unit, i, self._target_of(unit), result, asked) if asked else ():
                    self.store.write_strip(key, which, strip)
            except UserError:
                raise
            except Exception as error:  # noqa: BLE001 (the numbers are there without pictures)
                log.warning("%s: no pictures of its samples: %s: %s", unit.label, type(error).__name__, error)

    def _store_images(self, unit: Unit, key: str, records: "Records", images: "Floats") -> None:
        from bench.engine.adversarials import encode, recheck

        target = self._target_of(unit)
        checked = recheck(target.classifier, images, records, target.batch_size)
        file = self.store.write_images(key, encode(images, records), asdict(checked))
        if checked.success_float32 != checked.success:
            log.warning(
                "%s: %d of %d successes fail when read again",
                file,
                checked.success - checked.success_float32,
                checked.success,
            )

    def _fail(self, unit: Unit, reason: str) -> None:
        log.warning("%s failed: %s", unit.label, reason)
        for key in self.store.missing(unit.keys):
            self.store.write_error(key, reason)
        self.store.save("running")


def _reason(error: BaseException, limit: float | None) -> str:
    if isinstance(error, TimeLimitError):
        return f"it took longer than the suite's time limit of {limit:g} s"
    return f"{type(error).__name__}: {error}"
