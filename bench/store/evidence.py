"""What was measured to see whether a number can be trusted. Measured in one room, judged in another."""

from dataclasses import dataclass
from fractions import Fraction

from bench.ids import ModelId


@dataclass(frozen=True)
class Evidence:
    """One measurement for the trust check ``check``: ``value`` on ``n`` samples, in that check's own terms.

    It is about the model alone where ``attack`` and ``library`` are None, else about all cells of that attack
    through that library. ``detail`` says what was seen, in words, and ``samples`` the ids it was seen on and
    ``eps`` the budget, where a check needs them. ``value`` is None where the measurement itself failed.
    """

    check: str
    model: str
    seed: int
    attack: str | None
    library: str | None
    value: float | None
    n: int
    detail: str = ""
    samples: tuple[str, ...] = ()
    eps: Fraction | None = None

    @property
    def subject(self) -> ModelId:
        """The model that it is about."""
        return ModelId(self.model, self.seed)
