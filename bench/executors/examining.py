"""Examinations of a run's models in parts, each a task: no worker is idle while another examines a model."""

from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.engine.plan import Unit
from bench.ids import ModelId
from bench.trust.effort import Part
from bench.trust.gather import Checks, Measured

Parts = tuple[Part, ...]
"""What one task measures."""


@dataclass
class _Examination:
    """One that this run has claimed: the evidence it is for, its parts, and what was ``measured`` of each."""

    claim: ExitStack
    key: str
    parts: list[Parts]
    measured: dict[Parts, Measured | None] = field(default_factory=dict)


class Examining:
    """Lets models be examined, and stores what was measured of each once its last part is there.

    What is claimed is kept from other runs in the same folder until it is stored, or this is closed.
    ``elsewhere``: units of models that another run is at.
    """

    def __init__(self, checks: Checks) -> None:
        self._checks = checks
        self._open: dict[ModelId, _Examination] = {}
        self.elsewhere: list[Unit] = []

    def close(self) -> None:
        """Leave to others what is not done."""
        for examination in self._open.values():
            examination.claim.close()

    def begin(self, unit: Unit) -> list[Parts]:
        """What tasks are to measure of the model of ``unit``, which has been attacked."""
        claim = ExitStack()
        if not claim.enter_context(self._checks.claim(unit.model)):
            self.elsewhere.append(unit)
            return []
        if not self._checks.due(unit.model):  # another run has just ended it
            claim.close()
            return []
        parts = self._checks.in_parts(unit.model)
        self._open[unit.model] = _Examination(claim, self._checks.key(unit.model), parts)
        return parts

    def ended(self, model: ModelId, parts: Parts, measured: Measured | None) -> None:
        """``parts`` of the examination of ``model`` gave that; None: their worker was lost."""
        examination = self._open[model]
        examination.measured[parts] = measured
        if len(examination.measured) < len(examination.parts):
            return
        with self._open.pop(model).claim:
            found = [one for part in examination.parts if (one := examination.measured[part]) is not None]
            if len(found) == len(examination.parts):
                self._checks.store(examination.key, model, found)
