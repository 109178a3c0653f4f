"""A whole run: train or find the models, plan, attack what is missing, store."""

import logging
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from adapters.backbones.sources import side_inside
from adapters.cache.card import Card
from adapters.cache.recipe import RECIPE_VERSION
from adapters.cache.source import ModelSource
from adapters.cache.zoo import Zoo
from adapters.images import ImageSet
from bench.api import reference_weights
from bench.attacks.registry import problem
from bench.attacks.spec import contract_of, pairing_of
from bench.engine import interrupt
from bench.engine.adapting import with_defended
from bench.engine.job import Job, make_job
from bench.engine.options import Options
from bench.engine.plan import UNTRAINED, Unit, attackable, content_key, make_units
from bench.engine.progress import Progress
from bench.engine.provenance import repository
from bench.engine.summaries import Trained
from bench.errors import UserError
from bench.executors.crew import on_this_machine
from bench.executors.executor import Executor
from bench.executors.expected import check_expected
from bench.ids import ModelId
from bench.store import (
    FOLDER,
    SCALED,
    SCHEMA_VERSION,
    CellEntry,
    DataEntry,
    ModelEntry,
    OpenRun,
    RunHeader,
    check_writable,
    new_run_id,
    open_run,
)
from bench.store.shapes import Robust
from bench.suite.suite import Suite

log = logging.getLogger(__name__)


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
        raise UserError(
            f"--device {asked}: this machine has no such device; `bench doctor` shows what it has"
        ) from None
    return asked


def run_suite(suite: Suite, options: Options, progress: Progress) -> OpenRun:
    """Bring the run of ``suite`` to its end and return it.

    Attack failures become error cells; the run goes on.

    Raises Interrupted if SIGINT or SIGTERM asked it to stop: it then has stored the batch, or ended the
    epoch, that it was at.
    """
    with interrupt.deferred():
        check_writable(options.results)
        with _executor(suite, options, progress) as executor:
            return run_job(make_job(suite, options.places, options.permission), options, executor)


def train_suite(suite: Suite, options: Options, progress: Progress) -> list[Trained]:
    """Train every model of ``suite`` that is not trained yet, as ``run_suite`` does first; all of them.

    Raises as it does.
    """
    with interrupt.deferred(), _executor(suite, options, progress) as executor:
        job = make_job(suite, options.places, options.permission)
        job.for_each(executor.zoo.check)
        cards = executor.train(job)
        return [
            Trained(model, card, executor.zoo.folder(job.recipes[model])) for model, card in cards.items()
        ]


def _executor(suite: Suite, options: Options, progress: Progress) -> AbstractContextManager[Executor]:
    if options.executor == "local":
        zoo = Zoo(
            options.models,
            lambda title: interrupt.stoppable(progress.training(title)),
            choose_device(options.device),
        )
        return on_this_machine(zoo, progress, options.workers, fresh=options.fresh)
    if options.workers is not None:
        raise UserError("--workers: on a Ray cluster, each core is a worker; leave it out")
    try:
        from bench.executors.cluster import on_ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise UserError(
            "--executor ray: Ray is not installed; pip install 'lora-robustness-bench[ray]'"
        ) from None
    return on_ray(suite, options, progress)


def run_job(job: Job, options: Options, executor: Executor) -> OpenRun:
    """Bring the run of ``job`` to its end and return it."""
    if options.weights_of is not None:
        reference_weights.check(job, executor.zoo, options.weights_of)
    job.for_each(executor.zoo.check)
    untrained = with_defended(job.suite, dict.fromkeys(job.recipes, UNTRAINED))
    options.chosen(make_units(job.suite, untrained, ""))  # nothing is trained if none is
    surroundings = {**executor.surroundings(job), **_suite_folder(options), **_repository(options)}
    cards = with_defended(job.suite, executor.train(job))
    units = _attackable(make_units(job.suite, cards, job.samples.content_hash), options)
    chosen = options.chosen(units)
    check_expected(job, {unit.model: cards[unit.model] for unit in chosen}, executor)
    header = _header(job, executor.zoo, cards, units, surroundings)
    run = open_run(options.results, header, fresh=options.fresh, images=options.save_adversarials)
    _say_what_is_run(job, header, run, chosen)
    executor.attack(job, run, units, chosen)
    run.close()
    return run


def _say_what_is_run(job: Job, header: RunHeader, run: OpenRun, chosen: list[Unit]) -> None:
    """For those who want more than progress: what the run rests on, and how much of it is to be computed."""
    used = ", ".join(f"{name} {version}" for name, version in header.provenance["packages"].items())
    log.info("on %s with %s", header.provenance["device"], used)
    log.info("%s: %d images of %s", header.suite_name, len(job.samples), job.suite.data.source)
    for model in header.models:
        log.info("%s: %s, weights %s", job.title(model.id), model.method, model.sha256[:12])
    left = sum(len(run.missing(unit.keys)) for unit in chosen)
    log.info("%s: %d of %d cells are to be computed", run.path, left, len(header.cells))


def _attackable(units: list[Unit], options: Options) -> list[Unit]:
    """Those that can be run here.

    Only libraries that something is still owed by are tried: importing takes a second.
    """
    stored = set() if options.fresh else {file.stem for file in options.results.glob("*/*/cells/*.parquet")}
    owed = {unit.library for unit in units if not stored.issuperset(unit.keys)}
    return attackable(units, lambda library: problem(library) if library in owed else None)


def _repository(options: Options) -> dict[str, Any]:
    """The user's own repository, in which the suite, or without a file the run, is; else nothing."""
    found = repository(options.near[0] if options.near else Path(), options.results)
    return {} if found is None else {"repository": found}


def _suite_folder(options: Options) -> dict[str, str]:
    """From where the suite's paths count, for whoever repeats the run; nothing where there was no file."""
    return {FOLDER: str(options.near[0].absolute())} if options.near else {}


def _header(
    job: Job, zoo: ModelSource, cards: dict[ModelId, Card], units: list[Unit], surroundings: dict[str, Any]
) -> RunHeader:
    suite = job.suite
    cells = tuple(entry_of(unit, i) for unit in units for i in range(len(unit.cells)))
    declared = suite.model_dump(mode="json")
    question = suite.model_dump(mode="json", exclude={"models": {"__all__": {"expect_accuracy"}}})
    fingerprint = content_key({"suite": question, "cells": [cell.key for cell in cells]})
    return RunHeader(
        schema_version=SCHEMA_VERSION,
        run_id=new_run_id(fingerprint),
        fingerprint=fingerprint,
        status="running",
        suite_name=suite.name,
        headline_eps=suite.headline,
        suite=declared,
        data_hash=job.samples.content_hash,
        samples=len(job.samples),
        provenance=surroundings,
        models=tuple(_model_entry(model, card, zoo, job) for model, card in cards.items()),
        cells=cells,
        data=_data_entry(job.samples),
    )


def _data_entry(samples: ImageSet) -> DataEntry:
    """What is attacked, as the reader of the numbers has to know it."""
    facts = samples.facts
    size = samples.input_shape[-1]
    return DataEntry(
        len(samples), facts.available, samples.classes, size, facts.native, facts.cropped, facts.notes
    )


def _model_entry(model: ModelId, card: Card, zoo: ModelSource, job: Job) -> ModelEntry:
    members = job.members(model)
    expects, recipe = asdict(card.preprocessing) if card.preprocessing else {}, job.recipes[members[0]]
    if (side := side_inside(recipe.backbone.spec, job.samples.input_shape[-1])) is not None:
        expects[SCALED] = side
    files = _files([zoo.files(job.recipes[member]) for member in members], members)
    known = model.name, model.seed, card.method, card.trainable_parameters, card.parameters, card.sha256
    entry = ModelEntry(
        *known, files, expects, card.notes, RECIPE_VERSION, losses=card.losses, robust=_robust(card)
    )
    stack = job.stack(model)
    return replace(entry, of=stack.members, passes=stack.passes) if stack else entry


def _files(each: list[dict[str, str]], members: list[ModelId]) -> dict[str, str]:
    """The files of a model, by name; of several members each name begins with the member's."""
    if len(each) == 1:
        return each[0]
    return {
        f"{m.name}/{name}": digest
        for m, own in zip(members, each, strict=True)
        for name, digest in own.items()
    }


def _robust(card: Card) -> Robust | None:
    return None if card.robust is None else Robust(**asdict(card.robust))


def entry_of(unit: Unit, i: int) -> CellEntry:
    """The cell ``i`` of ``unit`` before it is run."""
    contract = contract_of(unit.attack)
    return CellEntry(
        model=unit.model.name,
        seed=unit.model.seed,
        attack=unit.attack_label,
        eps=unit.cells[i].eps,
        norm=unit.attack.norm,
        library=unit.library,
        pairing=pairing_of(unit.attack, unit.library),
        key=unit.cells[i].key,
        kind=unit.attack.attack,
        access="transfer" if unit.source is not None else contract.access,
        budget=contract.budget,
        role=unit.role,
        draws=unit.draws,
    )
