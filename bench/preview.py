"""What a run would do: its units, what is finished already, and how long the rest would take."""

from dataclasses import dataclass
from pathlib import Path

from adapters.zoo import Zoo
from bench.job import Job, make_job
from bench.options import Options
from bench.plan import UNTRAINED, Unit, make_units
from bench.store import RUN_FILE, list_runs, readable_header
from bench.suite import Suite


@dataclass(frozen=True)
class UnitPreview:
    """A unit: how many cells it has, how many are finished, whether its model is trained, and seconds still needed.

    ``seconds`` is None where no earlier run tells.
    """

    label: str
    cells: int
    cached: int
    trained: bool
    seconds: float | None


def preview(suite: Suite, options: Options) -> list[UnitPreview]:
    """Every unit of ``suite`` that ``options`` choose. Trains, attacks and writes nothing."""
    job = make_job(suite, options.places)
    zoo = Zoo(options.cache, lambda _: lambda *_: None)
    found = {model: zoo.card(recipe) for model, recipe in job.recipes.items()}
    units = make_units(suite, {m: card or UNTRAINED for m, card in found.items()}, job.samples.content_hash)
    finished = set() if options.fresh else _finished(options.results)
    rates = _seconds_per_sample(options.results)
    return [_preview(unit, job, found[unit.model, unit.seed] is not None, finished, rates) for unit in options.chosen(units)]


def _preview(unit: Unit, job: Job, trained: bool, finished: set[str], rates: dict[tuple[str, str], float]) -> UnitPreview:
    cached = sum(cell.key in finished for cell in unit.cells) if trained else 0
    rate = rates.get((unit.attack_label, unit.library))
    left = len(unit.cells) - cached
    seconds = 0.0 if left == 0 else None if rate is None else rate * left * len(job.samples)
    return UnitPreview(unit.label, len(unit.cells), cached, trained, seconds)


def _finished(results: Path) -> set[str]:
    return {file.stem for file in results.glob("*/*/cells/*.parquet")}


def _seconds_per_sample(results: Path) -> dict[tuple[str, str], float]:
    """What a cell of (attack, library) took per sample in the newest run that has one."""
    rates: dict[tuple[str, str], float] = {}
    for path in list_runs(results):
        header = readable_header(path / RUN_FILE)
        if header is None:
            continue
        for cell in header.cells:
            if cell.seconds is not None and (cell.attack, cell.library) not in rates:
                rates[cell.attack, cell.library] = cell.seconds / header.samples
    return rates
