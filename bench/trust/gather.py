"""Once a model has been attacked: measure, while it is loaded, whether its numbers can be trusted."""

import logging
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from adapters.errors import ModelError
from bench import pulse
from bench.attacks.spec import used_by
from bench.engine.plan import Unit, content_key
from bench.ids import ModelId
from bench.store import CellEntry, OpenRun
from bench.store.evidence import Evidence
from bench.store.records import Bools
from bench.trust.effort import BACKWARD, PARTS, Part, plan_effort

if TYPE_CHECKING:
    from bench.engine.job import Job
    from bench.engine.models import Models
    from bench.trust.examine import Subject
    from bench.trust.sources import Source

SIBLINGS = 1
"""Other models of the suite whose adversarials are tried: each has to be loaded."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """The ``evidence`` of some parts of an examination, and the ``seconds`` that they took.

    ``failure``: why nothing could be measured, if so.
    """

    evidence: list[Evidence]
    seconds: float
    failure: str = ""


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
        own = self._of_model(unit.model)
        if not self._is_attacked(own):
            return
        with self._run.wait_for(own[0].cells[0].key):  # another process may be at it
            key = self.key(unit.model)
            if not self._run.has_evidence(key, fresh=self._fresh):
                self.store(key, unit.model, [self.measure(unit.model, PARTS)])

    def claim(self, model: ModelId) -> AbstractContextManager[bool]:
        """Claim the examination of ``model``; yields False if another process has it."""
        return self._run.claim(self._of_model(model)[0].cells[0].key)

    def in_parts(self, model: ModelId) -> list[tuple[Part, ...]]:
        """The examination of ``model`` in parts that several processes can be at.

        Around defences it is made ready for all of them at once, which takes long.
        """
        return [PARTS] if self._job.stack(model) else [(part,) for part in PARTS]

    def key(self, model: ModelId) -> str:
        """Names the evidence on ``model`` that this software would measure now.

        The cells' keys cover model, data and attacks. Of those that failed nothing is measured: once they
        have not, other evidence is due.
        """
        cells = [cell.key for unit in self._of_model(model) for cell in unit.cells]
        return content_key(
            {
                "software": self._run.software,
                "level": self._job.suite.trust,
                "headline_eps": str(self._job.suite.headline),
                "cells": [key for key in cells if self._run.entries[key].status == "ok"],
            }
        )

    def measure(self, model: ModelId, parts: tuple[Part, ...]) -> Measured:
        """What ``parts`` of the examination of ``model`` find."""
        what = f"checking {model}" if parts == PARTS else f"checking {model}: {', '.join(parts)}"
        log.info("%s", what)
        try:
            with pulse.doing(what), pulse.unwatched():  # what it attacks is no unit
                return self._examine(model, parts)
        except ModelError as error:  # its cells are sound; only that nothing more can be measured of it
            return Measured([], 0.0, str(error))

    def store(self, key: str, model: ModelId, measured: Sequence[Measured]) -> None:
        """Store the evidence ``key`` on ``model``: all that was ``measured``, if all could be."""
        if failures := [part.failure for part in measured if part.failure]:
            log.warning("%s stays unchecked: %s", model, failures[0])
            return
        evidence = [e for part in measured for e in part.evidence]
        self._run.write_evidence(key, evidence, seconds=sum(part.seconds for part in measured))

    def finish(self) -> None:
        """Examine the models that had nothing left to run."""
        for unit in self.due():
            self.after(unit)

    def due(self, model: ModelId | None = None) -> list[Unit]:
        """A unit of each model, or of ``model`` alone, that has been attacked and not been examined."""
        last = {unit.model: unit for unit in self._units if model in (None, unit.model)}.values()
        return [
            unit
            for unit in last
            if self._is_attacked(self._of_model(unit.model))
            and not self._run.has_evidence(self.key(unit.model), fresh=self._fresh)
        ]

    def _of_model(self, model: ModelId) -> list[Unit]:
        return [unit for unit in self._units if unit.model == model]

    def _is_attacked(self, units: list[Unit]) -> bool:
        """Whether there is something to examine, and nothing still to come."""
        states = {self._run.entries[cell.key].status for unit in units for cell in unit.cells}
        return self._job.suite.trust != "off" and "missing" not in states and "ok" in states

    def _examine(self, model: ModelId, parts: Sequence[Part]) -> Measured:
        from bench.trust.defended import Examination, examine_defended
        from bench.trust.examine import examine

        units = self._examined(model)
        costs = {unit: sum(_passes(self._run.entries[cell.key]) for cell in unit.cells) for unit in units}
        siblings = self._siblings(model) if "stronger attacks" in parts else []
        started = time.perf_counter()
        subject, level = self._subject(model, units, siblings), self._job.suite.trust
        if self._job.stack(model) is not None:  # the checks see it drawing otherwise than the attacks did
            found = examine_defended(subject, Examination(costs, level, self._job.suite.draws.attack))
        else:
            found = examine(subject, plan_effort(level, costs, len(subject.target.correct)), parts)
        return Measured(found, time.perf_counter() - started)

    def _examined(self, model: ModelId) -> list[Unit]:
        """The attacks on ``model`` itself that have been carried out."""
        own = self._of_model(model)
        return [u for u in own if not self._run.missing(u.keys) and _is_its_own(self._run, u)]

    def _subject(self, model: ModelId, units: list[Unit], siblings: "list[Source]") -> "Subject":
        from bench.trust.examine import Subject

        (loaded,) = self._models.load(model)
        libraries = [name for unit in units for name in used_by(unit.attack, unit.library)]
        by_unit = self._by_unit(units)
        return Subject(
            loaded.raw,
            loaded.target,
            self._job.suite.headline,
            _by_norm(by_unit),
            siblings,
            tuple(dict.fromkeys(libraries)),
            by_unit,
        )

    def _siblings(self, model: ModelId) -> "list[Source]":
        """Siblings of ``model``, loaded: that takes no part of the checks' time, nor of the attacks'.

        None beside an adapter, which is switched off instead.
        """
        from adapters.methods.adapter_effect import is_peft

        (loaded,) = self._models.load(model)  # as a rule, the attacks have just left it there
        if self._job.stack(model) is None and is_peft(loaded.raw.network):
            return []
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


def _passes(cell: CellEntry) -> int:
    return (cell.forwards or 0) + BACKWARD * (cell.backwards or 0)
