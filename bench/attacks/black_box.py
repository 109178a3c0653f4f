"""Attacks that see only scores or labels, and controls: noise and geometry.

Their queries are counted per sample.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from bench.attacks.attack import Attack, Count, NonNegative, Positive, Repeats, Share


class Boundary(Attack):
    """A random walk along the decision boundary (Brendel et al. 2018). Sees labels."""

    starts_elsewhere: ClassVar[bool] = True
    attack: Literal["boundary"]
    norm: Literal["l2"] = "l2"
    steps: Count = 500
    spherical_step: Positive = 0.01
    source_step: Positive = 0.01
    step_adaptation: Annotated[float, Field(gt=1)] = 1.5


class HopSkipJump(Attack):
    """Gradients at the boundary estimated from labels (Chen et al. 2020). Sees labels."""

    starts_elsewhere: ClassVar[bool] = True
    attack: Literal["hopskipjump"]
    norm: Literal["l2", "linf"] = "l2"
    steps: Count = 10
    initial_evaluations: Count = 50
    max_evaluations: Count = 1000


class GeoDa(Attack):
    """Normal vectors of the boundary estimated in a low-frequency space (Rahmati et al. 2020).

    Sees labels.
    """

    starts_elsewhere: ClassVar[bool] = True
    attack: Literal["geoda"]
    norm: Literal["l2", "linf"] = "l2"
    queries: Annotated[int, Field(ge=250)] = 1000
    sub_dim: Count = 10
    tolerance: Positive = 0.01
    query_decay: Share = 0.6
    sigma: Positive = 0.02


class Zoo(Attack):
    """Carlini and Wagner's attack with gradients from finite differences of scores (Chen et al. 2017)."""

    attack: Literal["zoo"]
    norm: Literal["l2"] = "l2"
    steps: Count = 40
    binary_search_steps: Count = 2
    step_size: Positive = 0.1
    confidence: NonNegative = 0.0
    initial_const: Positive = 1.0
    difference: Positive = 0.001
    coordinates: Count = 128


class Square(Attack):
    """Random squares, kept if the margin falls (Andriushchenko et al. 2020). Sees scores."""

    attack: Literal["square"]
    norm: Literal["linf", "l2"] = "linf"
    steps: Count = 500
    p_init: Share = 0.8
    restarts: Repeats = 1

    def _details(self) -> tuple[str, ...]:
        return (str(self.steps),)


class SimBa(Attack):
    """One pixel or frequency at a time, kept if the class's probability falls (Guo et al. 2019). Sees scores.

    It goes on in whole steps until the first adversarial: how near that is depends on ``step_size``.
    """

    attack: Literal["simba"]
    norm: Literal["l2"] = "l2"
    steps: Count = 1000
    basis: Literal["pixel", "dct"] = "pixel"
    step_size: Positive = 0.2
    freq_dim: Count = 4
    stride: Count = 1

    @model_validator(mode="after")
    def _all_used(self) -> "SimBa":
        if self.basis == "pixel":
            self._refuse(["freq_dim", "stride"], "for basis pixel")
        return self


class SaltAndPepper(Attack):
    """Ever less salt-and-pepper noise that still fools.

    Sees labels; measured in l2, which the attack minimises.
    """

    attack: Literal["salt-and-pepper"]
    norm: Literal["l2"] = "l2"
    steps: Count = 200
    across_channels: bool = True


class Noise(Attack):
    """Additive noise of exactly eps (before clipping), the best of ``repeats``.

    It is a control that every attack must beat.
    """

    attack: Literal["noise"]
    norm: Literal["linf", "l2"] = "linf"
    distribution: Literal["uniform", "gaussian"] = "uniform"
    repeats: Count = 10

    @model_validator(mode="after")
    def _bounded(self) -> "Noise":
        if self.norm == "linf" and self.distribution == "gaussian":
            raise PydanticCustomError(
                "noise",
                "gaussian noise is not bounded in linf (parameter distribution); use uniform, or norm l2",
            )
        return self

    def _details(self) -> tuple[str, ...]:
        return (self.distribution, str(self.repeats))


class Spatial(Attack):
    """A grid of shifts and rotations (Engstrom et al. 2019). Sees labels.

    eps is the largest shift as a share of the image's side; ``max_rotation`` is in degrees.
    """

    attack: Literal["spatial"]
    norm: Literal["spatial"] = "spatial"
    max_rotation: Annotated[float, Field(ge=0, le=180)] = 10.0
    shifts: Count = 3
    rotations: Count = 3
