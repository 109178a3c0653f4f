"""What a suite's gate lets pass: the declaration under ``gate:``."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field

from adapters.strict import Strict

Direction = Literal["any", "worse", "better"]
Share = Annotated[float, Field(ge=0, le=1)]
Level = Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True)
class Limits:
    """The limits that hold for one cell."""

    direction: Direction
    min_effect: float
    alpha: float


class Override(Strict):
    """Other limits for some cells.

    ``cells`` is a glob over model/seed/attack/library/eps; a model's clean accuracy is model/seed/accuracy.
    """

    cells: Annotated[str, Field(min_length=1)]
    direction: Direction | None = None
    min_effect: Share | None = None
    alpha: Level | None = None


class Gate(Strict):
    """Which changes fail. Clean accuracy is always watched beside ``metric``.

    A run is judged by its reference's gate: one that it declares itself counts after `bench reference update`.

    A change fails if its paired exact test is significant at ``alpha`` after Holm's correction over all cells and it is at
    least ``min_effect`` (a share: 0.02 is 2 points) in the ``direction``: "worse" is towards less robust or less accurate.
    ``retrained_min_effect`` stands for ``min_effect`` where the weights differ: training again on another machine moves the
    numbers in a way that no test over samples knows of. Where nothing but the code differs, every flip fails.
    Of several ``overrides`` that match a cell the last one counts.
    """

    metric: Literal["asr", "robust_accuracy"] = "asr"
    direction: Direction = "any"
    min_effect: Share = 0.02
    retrained_min_effect: Share | None = None
    alpha: Level = 0.05
    overrides: tuple[Override, ...] = ()

    def limits(self, cell: str, *, retrained: bool) -> Limits:
        """What holds for ``cell`` (as an override names it)."""
        found = Limits(self.direction, self._min_effect(retrained), self.alpha)
        for override in self.overrides:
            if fnmatchcase(cell, override.cells):
                found = Limits(
                    override.direction or found.direction,
                    found.min_effect if override.min_effect is None else override.min_effect,
                    override.alpha or found.alpha,
                )
        return found

    def _min_effect(self, retrained: bool) -> float:
        return self.min_effect if self.retrained_min_effect is None or not retrained else self.retrained_min_effect
