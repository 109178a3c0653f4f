"""What a dry run and a training have to tell, as data: others draw it."""

from dataclasses import dataclass, field
from pathlib import Path

from adapters.cache.card import Card
from bench.ids import ModelId

Layers = dict[str, tuple[str, ...]]
"""Names of layers, by the name of the model."""


@dataclass(frozen=True)
class Trained:
    """A model that is ready to be attacked: its card, and the folder that its weights are in."""

    model: ModelId
    card: Card
    folder: Path


@dataclass(frozen=True)
class UnitPreview:
    """A unit: how many cells, how many finished, whether its model is trained, and seconds still needed.

    ``probed``: no earlier run tells the seconds, they are estimated.
    """

    label: str
    cells: int
    cached: int
    trained: bool
    seconds: float
    probed: bool


@dataclass(frozen=True)
class Preview:
    """What would be run: ``units``, and ``training``, the estimated seconds of what is to be trained before.

    All seconds are of one core; ``workers`` units would be run at a time. ``layers`` are those that a model's
    adapter is put on, where its targets are not simply their names.
    """

    units: tuple[UnitPreview, ...]
    training: float
    workers: int = 1
    layers: Layers = field(default_factory=dict)

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return sum(u.cells for u in self.units)

    @property
    def cached(self) -> int:
        """How many of them are finished already."""
        return sum(u.cached for u in self.units)

    @property
    def probed(self) -> bool:
        """Whether any of the seconds are estimated."""
        return bool(self.training) or any(u.probed for u in self.units)

    @property
    def seconds(self) -> float:
        """Until all units are run."""
        left = sum(u.cached < u.cells for u in self.units)
        return sum(u.seconds for u in self.units) / max(1, min(self.workers, left))
