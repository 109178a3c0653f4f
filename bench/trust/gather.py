"""Once a model has been attacked: measure, while it is loaded, whether its numbers can be trusted."""

import logging
import time
from typing import TYPE_CHECKING

from bench.plan import Unit, content_key
from bench.store import CellEntry, OpenRun
from bench.trust.effort import BACKWARD, plan_effort

if TYPE_CHECKING:
    from bench.executors.local import Models
    from bench.job import Job

TRUST_VERSION = 5
"""Raised when our own code changes what evidence holds."""

log = logging.getLogger(__name__)


class Checks:
    """Examines each model of ``run`` once none of its cells is still to be computed. Nothing is measured twice.

    Unless ``fresh``, what another run under the same results has measured counts.
    """

    def __init__(self, job: "Job", models: "Models", run: OpenRun, units: list[Unit], *, fresh: bool) -> None:
        self._job = job
        self._models = models
        self._run = run
        self._units = units
        self._fresh = fresh

    def after(self, unit: Unit) -> None:
        """``unit`` has just been run: examine its model if that was the last of it."""
        own = [u for u in self._units if (u.model, u.seed) == (unit.model, unit.seed)]
        states = {self._run.entries[cell.key].status for u in own for cell in u.cells}
        if self._job.suite.trust == "off" or "missing" in states or "ok" not in states:
            return
        key = _key(self._job, own)
        with self._run.wait_for(own[0].cells[0].key):  # another process may be at it
            if not self._run.has_evidence(key, fresh=self._fresh):
                log.info("checking %s/%d", unit.model, unit.seed)
                done = [u for u in own if not self._run.missing([cell.key for cell in u.cells])]
                self._examine([u for u in done if _is_its_own(self._run, u)], key)

    def finish(self) -> None:
        """Examine the models that had nothing left to run."""
        for unit in {(unit.model, unit.seed): unit for unit in self._units}.values():
            self.after(unit)

    def _examine(self, units: list[Unit], key: str) -> None:
        from bench.trust.examine import Subject, examine

        (loaded,) = self._models.load((units[0].model, units[0].seed))  # as a rule, the attacks have just left it there
        started = time.perf_counter()
        costs = {unit: sum(_passes(self._run.entries[cell.key]) for cell in unit.cells) for unit in units}
        effort = plan_effort(self._job.suite.trust, costs, len(loaded.target.correct))
        found = examine(Subject(loaded.raw, loaded.target, self._job.suite.headline), effort)
        self._run.write_evidence(key, found, seconds=time.perf_counter() - started)


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


def _passes(cell: CellEntry) -> int:
    return (cell.forwards or 0) + BACKWARD * (cell.backwards or 0)
