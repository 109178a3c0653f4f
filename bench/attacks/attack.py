"""What every declared attack has: the public base of all specs, and the parameters that several share."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from adapters.declaration import Declaration
from bench.attacks.contract import CONTRACTS
from bench.attacks.registry import Library
from bench.eps import Eps, EpsGrid

Norm = Literal["linf", "l2", "l1", "l0", "spatial"]
"""The norm of the threat model. For "spatial", eps is the largest shift as a share of the image's side."""

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Share = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Carry = Literal["each", "carry"]
"""How the eps of one attack hang together.

"each": not at all. "carry": what one breaks is broken at each larger one.
"""
Repeats = Annotated[int, Field(ge=1, le=1000)]


class Attack(Declaration):
    """The base of all attack specs. ``eps`` and ``libraries`` default to the suite's.

    With ``grid: carry``, a sample that is broken at one eps is broken at every larger one, and is not
    attacked there again.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}$")] | None = None
    eps: EpsGrid | None = None
    libraries: Annotated[tuple[Library, ...], Field(min_length=1)] | None = None
    grid: Carry = "each"
    attack: str
    norm: Norm
    starts_elsewhere: ClassVar[bool] = False
    """Whether it needs an image of another class to start from."""

    @property
    def label(self) -> str:
        """The attack's name in tables: the one given, or attack, unusual norm, variant and steps."""
        usual = type(self).model_fields["norm"].default
        carried = self.grid if self.grid != type(self).model_fields["grid"].default else ""
        parts = (self.attack, "" if self.norm == usual else self.norm, *self._details(), carried)
        return self.name or "-".join(part for part in parts if part)

    def _details(self) -> tuple[str, ...]:
        """What tells this attack from others of its kind in a table."""
        return ()

    @model_validator(mode="after")
    def _can_carry(self) -> "Attack":
        known = CONTRACTS.get(f"{self.attack}/{self.norm}")
        if self.grid == "carry" and known is not None and known.budget != "fixed":
            raise PydanticCustomError(
                "grid", f"{self.attack} has one answer for all eps, and nothing to carry; leave grid out"
            )
        return self

    @model_serializer(mode="wrap")
    def _as_declared(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """``grid`` is left out where nothing is carried nor would be, as it was before anything could be."""
        usual = self.grid == type(self).model_fields["grid"].default == "each"
        return {key: value for key, value in plain(self).items() if not (usual and key == "grid")}

    @property
    def members(self) -> "Sequence[Attack]":
        """Of an ensemble, its attacks in turn; of any other attack, none."""
        return ()

    def _refuse(self, unused: Sequence[str], where: str) -> None:
        """Raise if a suite sets a parameter without meaning ``where``: it must not be dropped in silence."""
        for name in unused:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise PydanticCustomError("unused", f"{self.attack} has no {name} {where}; leave it out")


class Restarts(Attack):
    """Attacks that are run again on the samples that withstood; the result is the best per sample.

    With ``targeted``, restart r aims at the r-th likeliest wrong class. Success is always a wrong prediction.
    """

    targeted: bool = False
    restarts: Repeats = 1


class RandomStart(Restarts):
    """Attacks that may start at a random point of the ball.

    The point is the same in every library (bench/attacks/randomness.py).
    """

    random_start: bool = False

    @model_validator(mode="after")
    def _restarts_differ(self) -> "RandomStart":
        if self.restarts > 1 and not (self.random_start or self.targeted):
            raise PydanticCustomError(
                "restarts", "restarts would all be the same; set random_start or targeted to true"
            )
        return self

    def _details(self) -> tuple[str, ...]:
        return ("targeted" if self.targeted else "",)


class Steps(RandomStart):
    """Attacks of ``steps`` of one size: ``step_size`` (absolute) or ``rel_step_size`` (a share of eps)."""

    usual_reach: ClassVar[float] = 1.0
    """How far all steps together reach by default, in eps."""

    steps: Annotated[int, Field(ge=1, le=100_000)] = 10
    step_size: Eps | None = None
    rel_step_size: Positive | None = None

    @model_validator(mode="after")
    def _one_step_size(self) -> "Steps":
        if self.step_size is not None and self.rel_step_size is not None:
            raise PydanticCustomError("step_size", "give step_size or rel_step_size, not both")
        return self

    def _details(self) -> tuple[str, ...]:
        return (*super()._details(), str(self.steps))

    def step_at(self, eps: float) -> float:
        """The absolute step size at ``eps``."""
        if self.step_size is not None:
            return float(self.step_size)
        return eps * (self.rel_step_size or self.usual_reach / self.steps)
