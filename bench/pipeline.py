"""A whole run: train or find the models, plan, attack what is missing, store."""

import fnmatch
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from adapters.zoo import Card, Recipe, Zoo
from bench import data, interrupt, provenance
from bench.attacks.spec import contract_of
from bench.errors import UserError, asked_at
from bench.executors.local import Models, run_units
from bench.job import Job, default_cache, default_places, make_job
from bench.plan import Unit, content_key, make_units
from bench.progress import Progress
from bench.store import SCHEMA_VERSION, CellEntry, ModelEntry, OpenRun, RunHeader, check_writable, new_run_id, open_run
from bench.suite import Suite
from bench.trust.gather import Checks

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How to run, none of which changes an answer. ``shard`` (i, n) is the i-th of n parts of the units, from 1."""

    results: Path
    device: str = "cpu"
    only: str = "*"
    shard: tuple[int, int] = (1, 1)
    fresh: bool = False
    save_adversarials: bool = False
    cache: Path = field(default_factory=default_cache)
    data_root: Path | None = None

    def chosen(self, units: Sequence[Unit]) -> list[Unit]:
        """Those of ``units`` that are to be run here."""
        part, of = self.shard
        return [unit for unit in units if fnmatch.fnmatch(unit.label, self.only)][part - 1 :: of]

    @property
    def places(self) -> data.Places:
        """Where data sets lie, and decoded images are kept."""
        return default_places(self.data_root, self.cache)


def choose_device(asked: str) -> str:
    """The torch device that ``asked`` means. Raises UserError if this machine does not have it."""
    if asked == "cpu":
        return asked
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=asked)
    except (RuntimeError, AssertionError):
        raise UserError(f"--device {asked}: this machine has no such device; `bench doctor` shows what it has") from None
    return asked


def run_suite(suite: Suite, options: Options, progress: Progress) -> OpenRun:
    """Bring the run of ``suite`` to its end and return it. Attack failures become error cells; the run goes on.

    Raises Interrupted if SIGINT or SIGTERM asked it to stop: it then has stored the batch, or ended the epoch, that it was at.
    """
    with interrupt.deferred():
        return _run(suite, options, progress)


def _run(suite: Suite, options: Options, progress: Progress) -> OpenRun:
    check_writable(options.results)
    _check_precision(suite, options.device)
    job = make_job(suite, options.places)
    zoo = Zoo(options.cache, partial(_stoppable, progress), options.device)
    _for_each(job, zoo.check)
    cards = _for_each(job, zoo.ensure)
    units = make_units(suite, cards, job.samples.content_hash)
    run = open_run(options.results, _header(job, zoo, cards, units), fresh=options.fresh, images=options.save_adversarials)
    models = Models(job, zoo)
    checks = Checks(job, models, run, units, fresh=options.fresh)
    run_units(job, models, run, options.chosen(units), progress, checks.after)
    checks.finish()
    run.save("complete" if not run.missing(list(run.entries)) else "incomplete")
    return run


def _for_each(job: Job, do: Callable[[Recipe], T]) -> dict[tuple[str, int], T]:
    """What ``do`` makes of each recipe; an error names the model's place in the suite."""
    place = {model.name: i for i, model in enumerate(job.suite.models)}
    found = {}
    for (name, seed), recipe in job.recipes.items():
        with asked_at("models", place[name]):
            found[name, seed] = do(recipe)
    return found


def _check_precision(suite: Suite, device: str) -> None:
    if suite.precision == "fp32":
        return
    from adapters.precision import unavailable

    if reason := unavailable(suite.precision, device):
        raise UserError(f"{suite.name}: precision {suite.precision}: {reason}; set precision to fp32 or bf16")


def _stoppable(progress: Progress, title: str) -> Callable[[int, int, float], None]:
    """The progress callback of one training, which is where it can be interrupted: after an epoch."""
    show = progress.training(title)

    def epoch(done: int, total: int, loss: float) -> None:
        show(done, total, loss)
        if done < total:
            interrupt.check()

    return epoch


def _header(job: Job, zoo: Zoo, cards: dict[tuple[str, int], Card], units: list[Unit]) -> RunHeader:
    suite = job.suite
    cells = tuple(entry_of(unit, i) for unit in units for i in range(len(unit.cells)))
    declared = suite.model_dump(mode="json")
    fingerprint = content_key({"suite": declared, "cells": [cell.key for cell in cells]})
    return RunHeader(
        schema_version=SCHEMA_VERSION,
        run_id=new_run_id(fingerprint),
        fingerprint=fingerprint,
        status="running",
        suite_name=suite.name,
        headline_eps=str(suite.headline),
        suite=declared,
        data_hash=job.samples.content_hash,
        samples=len(job.samples),
        provenance=provenance.collect(zoo.device),
        models=tuple(
            ModelEntry(
                *model, card.method, card.trainable_parameters, card.parameters, card.sha256, zoo.files(job.recipes[model])
            )
            for model, card in cards.items()
        ),
        cells=cells,
    )


def entry_of(unit: Unit, i: int) -> CellEntry:
    """The cell ``i`` of ``unit`` before it is run."""
    contract = contract_of(unit.attack)
    return CellEntry(
        model=unit.model,
        seed=unit.seed,
        attack=unit.attack_label,
        eps=str(unit.cells[i].eps),
        norm=unit.attack.norm,
        library=unit.library,
        pairing=contract.pairing,
        key=unit.cells[i].key,
        kind=unit.attack.attack,
        access="transfer" if unit.source is not None else contract.access,
        budget=contract.budget,
    )
