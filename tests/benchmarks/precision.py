"""Outcomes that bf16 or another random start changes: ``python -m tests.benchmarks.precision SUITE``.

The models and eps are the suite's, trained unless they are cached; the attacks are those that can start at
random, through Foolbox (ART's are the same to the bit in float32). Exits 1 where bf16 changes more than 1 %
of an attack's outcomes, or more than another start does.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Column, Table

from adapters.cache.zoo import Zoo
from adapters.spec import Precision
from bench.attacks.attack import RandomStart
from bench.engine.job import Job, default_cache, default_places, make_job
from bench.engine.plan import Cell, Unit
from bench.engine.prepare import prepare
from bench.engine.progress import Progress
from bench.engine.runner import Target, run_unit
from bench.ids import ModelId
from bench.suite.suite import find_suite, load_suite
from tests.builders.loaded import loaded

Outcomes = npt.NDArray[np.bool_]
BAR = 0.01
"""The largest share of outcomes that bf16 may change."""
HEADER = ("model", "attack", "outcomes", "bf16 changes", "%", "another start", "%")


def outcomes(target: Target, attack: RandomStart, cells: tuple[Cell, ...], stream: int = 0) -> Outcomes:
    """Which samples that are attacked at all are broken, eps x samples."""
    records = run_unit(Unit(ModelId("m", 0), attack, "foolbox", cells, stream), target).records
    return np.stack([r.success for r in records])[:, target.correct]


def changed(job: Job, targets: dict[Precision, Target], attack: RandomStart) -> tuple[int, int, int]:
    """How many outcomes bf16 changes, how many another start changes, and of how many."""
    cells = tuple(Cell(eps, str(eps)) for eps in job.suite.grid(attack))
    exact = outcomes(targets["fp32"], attack, cells)
    rounded = outcomes(targets["bf16"], attack, cells)
    random = attack.model_copy(update={"random_start": True})
    one, other = (outcomes(targets["fp32"], random, cells, stream) for stream in (0, 1))
    return int((exact != rounded).sum()), int((one != other).sum()), exact.size


def rows(job: Job, zoo: Zoo) -> Iterator[tuple[str, str, int, int, int]]:
    """Model, attack, and what ``changed`` counts."""
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    for model, recipe in job.recipes.items():
        zoo.ensure(recipe)
        classifier = loaded(zoo, recipe)
        targets = {p: prepare(classifier, job.samples, job.suite.batch_size, p) for p in precisions}
        for attack in job.suite.attacks:
            if isinstance(attack, RandomStart):
                yield str(model), attack.label, *changed(job, targets, attack)


def main() -> int:
    """Print the table; 1 if bf16 changes more than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", nargs="?", default="fgsm_pgd")
    parser.add_argument("--data-root", type=Path)
    options = parser.parse_args()
    job = make_job(load_suite(find_suite(options.suite)), default_places(options.data_root))
    zoo = Zoo(default_cache(), Progress(Console(stderr=True)).training)
    table = Table(*(Column(head, no_wrap=True) for head in HEADER))
    total: dict[str, npt.NDArray[np.int64]] = {}
    for model, attack, rounded, restarted, count in rows(job, zoo):
        shares = (f"{100 * changes / count:.2f}" for changes in (rounded, restarted))
        table.add_row(model, attack, str(count), str(rounded), next(shares), str(restarted), next(shares))
        total[attack] = total.get(attack, 0) + np.array([rounded, restarted, count])
    Console().print(table)
    return int(any(rounded > min(BAR * count, restarted) for rounded, restarted, count in total.values()))


if __name__ == "__main__":
    raise SystemExit(main())
