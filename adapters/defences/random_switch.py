"""Random switching: a randomised ensemble (Pinot et al. 2020)."""

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from adapters.defences.base import RandomSwitch

if TYPE_CHECKING:
    from adapters.defences.draws import Draws

Probability = Annotated[float, Field(gt=0, le=1)]


class RandomlySwitched(RandomSwitch):
    """A member drawn with its own of the ``probabilities`` (equal ones if none) answers each query."""

    defence: Literal["random-switch"] = "random-switch"
    probabilities: tuple[Probability, ...] | None = None

    @field_validator("probabilities")
    @classmethod
    def _sum_to_one(cls, given: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if given is not None and not math.isclose(sum(given), 1, abs_tol=1e-6):
            raise PydanticCustomError(
                "sum", "probabilities sum to {sum}, not to 1", {"sum": f"{sum(given):g}"}
            )
        return given

    def shares(self, count: int) -> tuple[float, ...]:
        """The probabilities."""
        return self.probabilities or (1 / count,) * count

    def pick(self, count: int, draws: "Draws") -> int:
        """A member, drawn."""
        import torch

        drawn = float(draws.uniform(torch.zeros(1), 1)[0, 0])
        return next((i for i in range(count - 1) if drawn < sum(self.shares(count)[: i + 1])), count - 1)
