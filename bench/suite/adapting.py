"""How attacks adapt to defences, as declared in a suite."""

from typing import Annotated, Literal

from pydantic import Field

from adapters.declaration import Declaration

Adapt = Literal["auto", "naive"]
"""auto: a model with defences meets each attack as if they were not there, and adapted to them.

naive: the former alone.
"""
Count = Annotated[int, Field(ge=1, le=10_000)]


class DrawsSpec(Declaration):
    """How many draws a random model is given, where it can answer in too many ways for all to be asked.

    ``judge``: from which its expected correctness is estimated. ``choose``: others, by which the worst attack
    on a sample is chosen: chosen and judged by the same draws, the worst would look worse than it is.
    ``attack``: over which an adaptive attack averages each gradient, or each answer. None of them is drawn
    twice.
    """

    judge: Count = 64
    choose: Count = 16
    attack: Count = 16
