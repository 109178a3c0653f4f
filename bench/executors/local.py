"""Units one after another in this process."""

import logging
from typing import TYPE_CHECKING

from adapters.zoo import Zoo
from bench.plan import Unit
from bench.progress import Progress
from bench.store import OpenRun

if TYPE_CHECKING:
    from bench.pipeline import Job
    from bench.runner import Target, UnitResult

log = logging.getLogger(__name__)


def run_units(job: "Job", zoo: Zoo, run: OpenRun, units: list[Unit], progress: Progress) -> None:
    """Run the ``units`` that have cells missing, storing each as it finishes. A failing unit becomes error cells."""
    pending = [unit for unit in units if run.missing([cell.key for cell in unit.cells])]
    if not pending:
        return
    from bench.runner import run_unit

    targets: dict[tuple[str, int], Target] = {}
    with progress.units(len(pending)) as finished:
        for unit in pending:
            needed = [(name, unit.seed) for name in (unit.model, unit.source) if name is not None]
            targets = {key: targets.get(key) or _target(job, zoo, key) for key in needed}
            try:
                _store(run, unit, run_unit(unit, *(targets[key] for key in needed)))
            except Exception as error:  # noqa: BLE001 (whatever a library raises becomes an error cell with its reason)
                log.warning("%s failed: %s: %s", unit.label, type(error).__name__, error)
                for cell in unit.cells:
                    run.write_error(cell.key, f"{type(error).__name__}: {error}")
            run.save("running")
            finished(unit.label)


def _target(job: "Job", zoo: Zoo, model: tuple[str, int]) -> "Target":
    import torch

    from adapters.lossless import lossless
    from bench.runner import make_target

    classifier = zoo.load(job.recipes[model])
    probe = torch.from_numpy(job.samples.x[: job.suite.batch_size]).to(classifier.device)
    return make_target(lossless(classifier, probe), job.samples, job.suite.batch_size)


def _store(run: OpenRun, unit: Unit, result: "UnitResult") -> None:
    share = len(unit.cells)
    for cell, records in zip(unit.cells, result.records, strict=True):
        run.write_cell(
            cell.key,
            records,
            seconds=round(result.seconds / share, 4),
            forwards=result.forwards // share,
            backwards=result.backwards // share,
        )
