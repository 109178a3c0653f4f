"""``expect_accuracy`` of a model: the clean accuracy that its author knows it by, and whether it is met."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from adapters.declaration import Declaration
from bench.scoring.statistics import at_most

CHANCE = 1e-3
"""Probability up to which a count of right samples is no chance any more.

One sound model in a thousand is stopped.
"""


def _is_share(value: float) -> float:
    if not 0 <= value <= 1:
        fix = f"write {value / 100:g} for {value:g} %" if 1 < value <= 100 else "write 0.654 for 65.4 %"
        raise PydanticCustomError(
            "share", "{value} is not a share from 0 to 1; {fix}", {"value": f"{value:g}", "fix": fix}
        )
    return value


Share = Annotated[float, Field(strict=True), AfterValidator(_is_share)]


class Expectation(Declaration):
    """The share of the samples that a model is expected to predict correctly, unattacked.

    It may be off by ``within``. Without ``within``, as far as the choice of samples explains: the exact
    binomial test of as many right ones at ``value`` (two-sided, 0.1 %). A published accuracy is of many
    images, the attacked ones are some of them: 65.4 % may be 50 to 80 % of 100 samples, and 64.2 to 66.6 % of
    20,000. Where it was measured on the very samples, ``within: 0.001`` says more.
    """

    value: Share
    within: Share | None = None

    def allows(self, right: int, n: int) -> bool:
        """Whether ``right`` of ``n`` samples meet it."""
        if self.within is not None:
            return abs(right / n - self.value) <= self.within + 1e-9
        fewer, more = at_most(right, n, self.value), 1 - at_most(right - 1, n, self.value)
        return 2 * min(fewer, more) >= CHANCE

    def allowed(self, n: int) -> str:
        """What it allows of ``n`` samples, in words."""
        if self.within is not None:
            return f"within {self.within:g}"
        counts = [right for right in range(n + 1) if self.allows(right, n)]
        return f"or {counts[0] / n:.3f} to {counts[-1] / n:.3f}, as far as chance goes in {n} samples"


def _spelt_out(value: Any) -> Any:
    """A number is the expected value."""
    return value if isinstance(value, dict | Expectation) else {"value": value}


_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
Expected = Annotated[
    Expectation,
    BeforeValidator(_spelt_out),
    WithJsonSchema(
        {
            "description": (
                "The clean accuracy to expect, from 0 to 1: with any other the run stops before it"
                " attacks; or {value, within}."
            ),
            "anyOf": [
                _SHARE,
                {
                    "type": "object",
                    "properties": {"value": _SHARE, "within": _SHARE},
                    "required": ["value"],
                    "additionalProperties": False,
                },
            ],
        }
    ),
]
