"""Units one after another in this process; those that another process is at are left to it."""

import logging
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from adapters.zoo import Zoo
from bench import interrupt
from bench.errors import UserError
from bench.executors.limit import TimeLimitError, time_limit
from bench.plan import Unit
from bench.progress import Progress
from bench.store import OpenRun

if TYPE_CHECKING:
    from bench.job import Job
    from bench.records import Floats, Records
    from bench.runner import Target, UnitResult

log = logging.getLogger(__name__)


def run_units(job: "Job", zoo: Zoo, run: OpenRun, units: list[Unit], progress: Progress) -> None:
    """Run the ``units`` that have cells missing, storing each as it finishes. A failing unit becomes error cells.

    Units that failed in an earlier attempt come last. Raises Interrupted if the run was asked to stop, and StorageError.
    """
    pending = [unit for unit in units if run.missing(_keys(unit))]
    if not pending:
        return
    pending.sort(key=lambda unit: any(run.entries[key].status == "error" for key in _keys(unit)))
    worker = _Worker(job, zoo, run)
    elsewhere = []
    with progress.units(len(pending)) as finished:
        for unit in pending:
            with run.claim(_keys(unit)[0]) as ours:
                if ours:
                    worker.run(unit)
            if ours:
                finished(unit.label)
            else:
                elsewhere.append(unit)
        for unit in elsewhere:
            with run.wait_for(_keys(unit)[0]):
                worker.run(unit)
            finished(unit.label)


class _Worker:
    """Runs claimed units, keeping the models of the last one."""

    def __init__(self, job: "Job", zoo: Zoo, run: OpenRun) -> None:
        self.job = job
        self.zoo = zoo
        self.store = run
        self._targets: dict[tuple[str, int], Target] = {}

    def run(self, unit: Unit) -> None:
        """Bring ``unit``, which this process has claimed, to its end, unless another process has done so."""
        self.store.refresh()
        missing = set(self.store.missing(_keys(unit)))
        unit = replace(unit, cells=tuple(cell for cell in unit.cells if cell.key in missing))
        if not unit.cells:
            return
        interrupt.check()
        try:
            self._finish(unit, self._attack(unit))
        except UserError:
            raise
        except (Exception, TimeLimitError) as error:  # noqa: BLE001 (the cell says it)
            self._fail(unit, _reason(error, self.job.suite.time_limit))

    def _attack(self, unit: Unit) -> "UnitResult":
        from bench.executors.parts import run_in_parts

        target = self._target_of(unit)
        limit = self.job.suite.time_limit
        with time_limit(limit, lambda: self._fail(unit, f"it hung in native code beyond the time limit of {limit:g} s")):
            return run_in_parts(unit, target, self.store)

    def _target_of(self, unit: Unit) -> "Target":
        needed = [(name, unit.seed) for name in (unit.model, unit.source) if name is not None]
        self._targets = {model: t for model, t in self._targets.items() if model in needed}  # free the others' memory first
        for model in needed:
            if model not in self._targets:
                self._targets[model] = _make_target(self.job, self.zoo, model)
        source = None if unit.source is None else self._targets[unit.source, unit.seed]
        return replace(self._targets[unit.model, unit.seed], source=source)

    def _finish(self, unit: Unit, result: "UnitResult") -> None:
        share = len(unit.cells)
        seconds, forwards, backwards = round(result.seconds / share, 4), result.forwards // share, result.backwards // share
        for key, records in zip(_keys(unit), result.records, strict=True):
            self.store.write_cell(key, records, seconds=seconds, forwards=forwards, backwards=backwards)
        for key, records, images in zip(_keys(unit), result.records, result.images or (), strict=False):
            self._store_images(unit, key, records, images)
        self.store.save("running")
        self.store.drop_parts(unit.key)

    def _store_images(self, unit: Unit, key: str, records: "Records", images: "Floats") -> None:
        from bench.adversarials import encode, recheck

        target = self._target_of(unit)
        checked = recheck(target.classifier, images, records, target.batch_size)
        file = self.store.write_images(key, encode(images, records), asdict(checked))
        if checked.success_float32 != checked.success:
            log.warning(
                "%s: %d of %d successes fail when read again", file, checked.success - checked.success_float32, checked.success
            )

    def _fail(self, unit: Unit, reason: str) -> None:
        log.warning("%s failed: %s", unit.label, reason)
        for key in self.store.missing(_keys(unit)):
            self.store.write_error(key, reason)
        self.store.save("running")


def _make_target(job: "Job", zoo: Zoo, model: tuple[str, int]) -> "Target":
    import numpy as np

    from bench.prepare import prepare
    from bench.runner import AttackError

    suite = job.suite
    target = prepare(zoo.load(job.recipes[model]), job.samples, suite.batch_size, suite.precision)
    broken = int((~np.isfinite(target.clean.prob)).sum())
    if broken:
        raise AttackError(f"the model's predictions are not finite (NaN) on {broken} of {len(job.samples)} unattacked samples")
    return target


def _keys(unit: Unit) -> list[str]:
    return [cell.key for cell in unit.cells]


def _reason(error: BaseException, limit: float | None) -> str:
    if isinstance(error, TimeLimitError):
        return f"it took longer than the suite's time limit of {limit:g} s"
    return f"{type(error).__name__}: {error}"
