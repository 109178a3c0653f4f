"""White-box attacks that look for the nearest adversarial: one attack gives the whole security curve."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from bench.attacks.attack import Attack, Count, NonNegative, Positive


class DeepFool(Attack):
    """Steps to the nearest boundary of the linearised classifier (Moosavi-Dezfooli et al. 2016).

    ``candidates`` is how many of the likeliest classes' boundaries are considered.
    """

    attack: Literal["deepfool"]
    norm: Literal["l2", "linf"] = "l2"
    steps: Count = 50
    candidates: Annotated[int, Field(ge=2)] = 10
    overshoot: Positive = 0.02


class CarliniWagner(Attack):
    """Distance plus a margin penalty, its weight found by search (Carlini and Wagner 2017).

    In l2 the weight is searched ``binary_search_steps`` times. In linf it starts at ``initial_const`` and is
    multiplied by ``const_factor`` up to ``largest_const``, and the allowed distance by ``decrease_factor``
    after each success.
    """

    attack: Literal["cw"]
    norm: Literal["l2", "linf"] = "l2"
    steps: Count = 50
    binary_search_steps: Count = 5
    step_size: Positive = 0.01
    confidence: NonNegative = 0.0
    initial_const: Positive = 0.01
    largest_const: Positive = 20.0
    const_factor: Annotated[float, Field(gt=1)] = 2.0
    decrease_factor: Annotated[float, Field(gt=0, lt=1)] = 0.9

    @model_validator(mode="after")
    def _all_used(self) -> "CarliniWagner":
        if self.norm == "linf":
            self._refuse(["binary_search_steps"], "in linf")
            if self.initial_const >= self.largest_const:
                raise PydanticCustomError(
                    "const", "initial_const must be below largest_const, or nothing is tried"
                )
        else:
            self._refuse(["largest_const", "const_factor", "decrease_factor"], "in l2")
        return self


class Ead(Attack):
    """Elastic-net attack: l1 and l2 distance together, ``regularization`` weighing l1 (Chen et al. 2018)."""

    attack: Literal["ead"]
    norm: Literal["l1"] = "l1"
    steps: Count = 50
    binary_search_steps: Count = 5
    step_size: Positive = 0.01
    confidence: NonNegative = 0.0
    initial_const: Positive = 0.01
    regularization: Positive = 0.01
    decision_rule: Literal["l1", "elastic-net"] = "l1"


class Ddn(Attack):
    """Decoupled direction and norm: the ball shrinks and grows with success (Rony et al. 2019)."""

    attack: Literal["ddn"]
    norm: Literal["l2"] = "l2"
    steps: Count = 100
    initial_norm: Positive = 1.0
    gamma: Positive = 0.05


class Fmn(Attack):
    """Fast minimum-norm: projected steps with an adaptive ball (Pintor et al. 2021)."""

    attack: Literal["fmn"]
    norm: Literal["linf", "l2", "l1", "l0"] = "linf"
    steps: Count = 100
    step_size: Positive = 1.0
    min_step_size: Positive = 0.01
    gamma: Positive = 0.05


class NewtonFool(Attack):
    """Newton steps that lower the probability of the class (Jang et al. 2017).

    They stop where it is as likely as chance: between two classes, on the boundary and not behind it.
    """

    attack: Literal["newtonfool"]
    norm: Literal["l2"] = "l2"
    steps: Count = 50
    eta: Positive = 0.01


class BrendelBethge(Attack):
    """Walks along the boundary from an adversarial start towards the image (Brendel et al. 2019)."""

    starts_elsewhere: ClassVar[bool] = True
    attack: Literal["brendel-bethge"]
    norm: Literal["linf", "l2", "l1", "l0"] = "l2"
    steps: Count = 100
    overshoot: Positive = 1.1
    learning_rate: Positive = 0.001
    learning_rate_decay: Positive = 0.5
    learning_rate_decays: Count = 20
    momentum: NonNegative = 0.8
    binary_search_steps: Count = 10
