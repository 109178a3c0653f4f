"""Attacks as declared in a suite: the field's names for parameters, no library's."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from adapters.strict import Strict
from bench.attacks.contract import CONTRACTS, Contract, Library
from bench.eps import Eps, EpsGrid


class _Attack(Strict):
    """What every attack has. ``eps`` and ``libraries`` default to the suite's."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}$")] | None = None
    eps: EpsGrid | None = None
    libraries: Annotated[tuple[Library, ...], Field(min_length=1)] | None = None


class Fgsm(_Attack):
    """The fast gradient sign method (Goodfellow et al. 2015): one signed-gradient step of size eps."""

    attack: Literal["fgsm"]
    norm: Literal["linf"] = "linf"

    @property
    def label(self) -> str:
        """The attack's name in tables."""
        return self.name or "fgsm"


class Pgd(_Attack):
    """Projected gradient descent (Madry et al. 2018).

    ``step_size`` is absolute; ``rel_step_size`` is a share of eps and defaults to 2.5 / steps.
    """

    attack: Literal["pgd"]
    norm: Literal["linf"] = "linf"
    steps: Annotated[int, Field(ge=1, le=100_000)] = 40
    step_size: Eps | None = None
    rel_step_size: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one_step_size(self) -> "Pgd":
        if self.step_size is not None and self.rel_step_size is not None:
            raise PydanticCustomError("step_size", "give step_size or rel_step_size, not both")
        return self

    @property
    def label(self) -> str:
        """The attack's name in tables."""
        return self.name or f"pgd-{self.steps}"

    def step_at(self, eps: float) -> float:
        """The absolute step size at ``eps``."""
        if self.step_size is not None:
            return float(self.step_size)
        return eps * (self.rel_step_size or 2.5 / self.steps)


AttackSpec = Annotated[Fgsm | Pgd, Field(discriminator="attack")]


def contract_of(spec: "Fgsm | Pgd") -> Contract:
    """The contract's entry for ``spec``."""
    return CONTRACTS[spec.attack]


def parameters(spec: "Fgsm | Pgd") -> dict[str, object]:
    """All that changes the adversarials of ``spec`` at a given eps, for a cell's key."""
    return spec.model_dump(mode="json", exclude={"name", "eps", "libraries"})
