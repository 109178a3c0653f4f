"""What a suite's gate lets pass: the declaration under ``gate:``."""

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field

from adapters.declaration import Declaration

Direction = Literal["any", "worse", "better"]
Share = Annotated[float, Field(ge=0, le=1)]
Level = Annotated[float, Field(gt=0, lt=1)]


FLOOR = 0.25
"""A dead attack leaves nothing of its success.

Training again left at least 0.4 of it wherever the test showed a fall.
"""


@dataclass(frozen=True)
class Limits:
    """The limits that hold for one cell.

    An ASR that falls below ``floor`` times what it was may fall by less than that.
    """

    direction: Direction
    min_effect: float
    alpha: float
    floor: float = 0.0


class Override(Declaration):
    """Other limits for some cells.

    ``cells`` is a glob over model/seed/attack/library/eps; a model's clean accuracy is model/seed/accuracy.
    """

    cells: Annotated[str, Field(min_length=1)]
    direction: Direction | None = None
    min_effect: Share | None = None
    alpha: Level | None = None


class Gate(Declaration):
    """Which changes fail. Clean accuracy is always watched beside ``metric``.

    A run is judged by its reference's gate: one that it declares itself counts after `bench reference
    update`.

    A change fails if its paired exact test is significant at ``alpha`` after Holm's correction over all cells
    and it is at least ``min_effect`` (a share: 0.02 is 2 points) in the ``direction``: "worse" is towards
    less robust or less accurate. ``retrained_min_effect`` stands for ``min_effect`` where the weights differ:
    training again on another machine moves the numbers in a way that no test over samples knows of. It is
    more than most cells at a small eps have to lose, so an attack success that falls to less than a quarter
    fails too. Where nothing but the code differs, every flip fails. Of several ``overrides`` that match a
    cell the last one counts.
    """

    metric: Literal["asr", "robust_accuracy"] = "asr"
    direction: Direction = "any"
    min_effect: Share = 0.02
    retrained_min_effect: Share | None = None
    alpha: Level = 0.05
    overrides: tuple[Override, ...] = ()

    def limits(self, cell: str, *, retrained: bool) -> Limits:
        """What holds for ``cell`` (as an override names it)."""
        found = Limits(self.direction, self.min_effect, self.alpha)
        if retrained and self.retrained_min_effect is not None:
            found = Limits(self.direction, self.retrained_min_effect, self.alpha, FLOOR)
        for override in self.overrides:
            if fnmatchcase(cell, override.cells):
                found = _overridden(found, override)
        return found


def _overridden(limits: Limits, override: Override) -> Limits:
    found = replace(
        limits, direction=override.direction or limits.direction, alpha=override.alpha or limits.alpha
    )
    return found if override.min_effect is None else replace(found, min_effect=override.min_effect, floor=0.0)
