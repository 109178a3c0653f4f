"""Once a model has been attacked: measure, while it is loaded, whether its numbers can be trusted."""

import logging
import time
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from adapters.errors import ModelError
from bench import pulse
from bench.attacks.spec import used_by
from bench.engine.plan import Unit, content_key
from bench.ids import ModelId
from bench.store import CellEntry, OpenRun
from bench.store.records import Bools
from bench.trust.effort import BACKWARD, plan_effort

if TYPE_CHECKING:
    from bench.engine.job import Job
    from bench.engine.models import Models
    from bench.trust.sources import Source

SIBLINGS = 1
"""Other models of the suite whose adversarials are tried: each has to be loaded."""
log = logging.getLogger(__name__)


class Checks:
    """Examines each model of ``run`` once none of its cells is still to be computed.

    Nothing is measured twice. Unless ``fresh``, what another run under the same results has measured counts.
    """

    def __init__(self, job: "Job", models: "Models", run: OpenRun, units: list[Unit], *, fresh: bool) -> None:
        self._job = job
        self._models = models
        self._run = run
        self._units = units
        self._fresh = fresh

    def after(self, unit: Unit) -> None:
        """``unit`` has just been run: examine its model if that was the last of it."""
        own = self._of_model(unit)
        if not self._is_attacked(own):
            return
        with self._run.wait_for(own[0].cells[0].key):  # another process may be at it
            if not self._has_evidence(own):
                log.info("checking %s", unit.model)
                done = [u for u in own if not self._run.missing(u.keys)]
                try:
                    with (
                        pulse.doing(f"checking {unit.model}"),
                        pulse.unwatched(),
                    ):  # what it attacks is no unit
                        self._examine(
                            [u for u in done if _is_its_own(self._run, u)],
                            _key(self._job, own, self._run.software),
                        )
                except (
                    ModelError
                ) as error:  # its cells are sound; only that nothing more can be measured of it
                    log.warning("%s stays unchecked: %s", unit.model, error)

    def finish(self) -> None:
        """Examine the models that had nothing left to run."""
        for unit in self.due():
            self.after(unit)

    def due(self) -> list[Unit]:
        """A unit of each model that has been attacked and not been examined."""
        first = {unit.model: unit for unit in self._units}.values()
        return [
            unit
            for unit in first
            if self._is_attacked(own := self._of_model(unit)) and not self._has_evidence(own)
        ]

    def _of_model(self, unit: Unit) -> list[Unit]:
        return [u for u in self._units if u.model == unit.model]

    def _is_attacked(self, units: list[Unit]) -> bool:
        """Whether there is something to examine, and nothing still to come."""
        states = {self._run.entries[cell.key].status for unit in units for cell in unit.cells}
        return self._job.suite.trust != "off" and "missing" not in states and "ok" in states

    def _has_evidence(self, units: list[Unit]) -> bool:
        return self._run.has_evidence(_key(self._job, units, self._run.software), fresh=self._fresh)

    def _examine(self, units: list[Unit], key: str) -> None:
        from adapters.methods.adapter_effect import is_peft
        from bench.trust.defended import Examination, examine_defended
        from bench.trust.examine import Subject, examine

        model = units[0].model
        (loaded,) = self._models.load(model)  # as a rule, the attacks have just left it there
        defended = self._job.stack(model) is not None
        siblings = [] if not defended and is_peft(loaded.raw.network) else self._siblings(model)
        started = time.perf_counter()
        costs = {unit: sum(_passes(self._run.entries[cell.key]) for cell in unit.cells) for unit in units}
        libraries = tuple(
            dict.fromkeys(name for unit in units for name in used_by(unit.attack, unit.library))
        )
        by_unit = self._by_unit(units)
        subject = Subject(
            loaded.raw, loaded.target, self._job.suite.headline, _by_norm(by_unit), siblings, libraries
        )
        if defended:  # the checks see it drawing otherwise than the attacks did
            found = examine_defended(
                subject, Examination(costs, self._job.suite.trust, self._job.suite.draws.attack)
            )
        else:
            effort = plan_effort(self._job.suite.trust, costs, len(loaded.target.correct))
            found = examine(replace(subject, by_unit=by_unit), effort)
        self._run.write_evidence(key, found, seconds=time.perf_counter() - started)

    def _siblings(self, model: ModelId) -> "list[Source]":
        """Siblings of ``model``, loaded: that takes no part of the checks' time, nor of the attacks'."""
        found: list[Source] = [(name, cache(load)) for name, load in self._models.siblings(model)[:SIBLINGS]]
        for _, load in found:
            load()
        return found

    def _by_unit(self, units: list[Unit]) -> dict[Unit, Bools]:
        """Which samples each of ``units`` breaks at the eps at which its attack is examined."""
        from bench.trust.examine import examined_eps

        found = {}
        for unit in units:
            eps = examined_eps(unit, self._job.suite.headline)
            (key,) = (cell.key for cell in unit.cells if cell.eps == eps)
            found[unit] = self._run.records(key).success
        return found


def _by_norm(by_unit: dict[Unit, Bools]) -> dict[str, Bools]:
    """Which samples any of the units breaks, by its norm."""
    found: dict[str, Bools] = {}
    for unit, broken in by_unit.items():
        found[unit.attack.norm] = found.get(unit.attack.norm, np.zeros_like(broken)) | broken
    return found


def _is_its_own(run: OpenRun, unit: Unit) -> bool:
    """Whether the attack is on the model itself; a cell of another name holds what was made elsewhere."""
    return unit.source is None and run.entries[unit.cells[0].key].attack == unit.attack_label


def _key(job: "Job", units: list[Unit], software: str) -> str:
    """Names the evidence that ``software`` measures: the cells' keys cover model, data and attacks."""
    return content_key(
        {
            "software": software,
            "level": job.suite.trust,
            "headline_eps": str(job.suite.headline),
            "cells": [cell.key for unit in units for cell in unit.cells],
        }
    )


def _passes(cell: CellEntry) -> int:
    return (cell.forwards or 0) + BACKWARD * (cell.backwards or 0)
