"""After the attacks: measure, for each finished model, whether its numbers can be trusted."""

import logging
from typing import TYPE_CHECKING

from bench.plan import Unit, content_key
from bench.store import CellEntry, OpenRun
from bench.trust.effort import BACKWARD, plan_effort

if TYPE_CHECKING:
    from adapters.zoo import Zoo
    from bench.job import Job

TRUST_VERSION = 1
"""Raised when our own code changes what evidence holds."""

log = logging.getLogger(__name__)


def gather_evidence(job: "Job", zoo: "Zoo", run: OpenRun, units: list[Unit], *, fresh: bool) -> None:
    """Store the evidence of each model none of whose cells is still to be computed. Nothing is measured twice."""
    if job.suite.trust == "off":
        return
    for model in dict.fromkeys((unit.model, unit.seed) for unit in units):
        own = [unit for unit in units if (unit.model, unit.seed) == model]
        states = {run.entries[cell.key].status for unit in own for cell in unit.cells}
        if "missing" in states or "ok" not in states:
            continue
        key = _key(job, own)
        if not run.has_evidence(key, fresh=fresh):
            log.info("checking %s", model)
            done = [unit for unit in own if not run.missing([cell.key for cell in unit.cells])]
            _examine(job, zoo, run, [unit for unit in done if _is_its_own(run, unit)], key)


def _is_its_own(run: OpenRun, unit: Unit) -> bool:
    """Whether the attack is carried out on the model itself; a cell of another name holds what was made elsewhere."""
    return run.entries[unit.cells[0].key].attack == unit.attack.label


def _key(job: "Job", units: list[Unit]) -> str:
    """Names the evidence: the cells' keys cover the model, the data, the attacks and the libraries."""
    return content_key(
        {
            "trust_version": TRUST_VERSION,
            "level": job.suite.trust,
            "headline_eps": str(job.suite.headline),
            "cells": [cell.key for unit in units for cell in unit.cells],
        }
    )


def _examine(job: "Job", zoo: "Zoo", run: OpenRun, units: list[Unit], key: str) -> None:
    from bench.prepare import prepare
    from bench.trust.examine import Subject, examine

    suite = job.suite
    raw = zoo.load(job.recipes[units[0].model, units[0].seed])
    target = prepare(raw, job.samples, suite.batch_size, suite.precision)
    costs = {unit: sum(_passes(run.entries[cell.key]) for cell in unit.cells) for unit in units}
    effort = plan_effort(suite.trust, costs, len(target.correct))
    run.write_evidence(key, examine(Subject(raw, target, suite.headline), effort))


def _passes(cell: CellEntry) -> int:
    return (cell.forwards or 0) + BACKWARD * (cell.backwards or 0)
