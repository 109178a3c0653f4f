"""Adversarial training, as declared in a suite. No torch here."""

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from adapters.declaration import Declaration
from adapters.eps import Eps, eps_text

Steps = Annotated[int, Field(ge=1, le=1000)]
USUAL_REACH = Fraction(5, 2)
"""How far the steps of PGD together go by default, in eps: what the contract's PGD has by default too."""


class Ball(Declaration):
    """What every adversarial training has: the threat model, and how the network is asked while crafting.

    ``eps`` is on the [0, 1] pixel scale; over the first ``eps_warmup_epochs`` it rises linearly.
    ``batchnorm`` is what a trainable BatchNorm normalises by while adversarials are crafted: "eval" by its
    running statistics, as attackers meet it (Madry et al. 2018; Zhang et al. 2019), "train" by the batch's
    (Rice et al. 2020); crafting never moves the statistics, and dropout is off. ``awp`` is gamma of
    adversarial weight perturbation (Wu et al. 2020, who take 0.005): before each step the trained weights go
    along the gradient by that share of their norm, layer by layer; 0 is none.
    """

    norm: Literal["linf", "l2"] = "linf"
    eps: Eps
    eps_warmup_epochs: Annotated[int, Field(ge=0)] = 0
    step_size: Eps | None = None
    batchnorm: Literal["eval", "train"] = "eval"
    awp: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="after")
    def _within_the_pixels(self) -> "Ball":
        if self.norm == "linf" and self.eps > 1:
            hint = f"; did you mean {self.eps}/255?" if self.eps.denominator == 1 else ""
            message = f"eps {eps_text(self.eps)} is larger than the whole pixel range [0, 1]{hint}"
            raise PydanticCustomError("eps", "{message}", {"key": "eps", "message": message})
        return self

    @property
    def step(self) -> Fraction:
        """The size of one step at the full eps: as declared, or what is usual."""
        raise NotImplementedError

    @property
    def share_clean(self) -> float:
        """The share of each batch that is not attacked."""
        return 0.0


class Descent(Ball):
    """A ball that is searched in ``steps`` steps; by default they go 2.5 eps together."""

    steps: Steps = 10

    @property
    def step(self) -> Fraction:
        """The size of one step at the full eps."""
        return self.step_size or USUAL_REACH * self.eps / self.steps


class PgdTraining(Descent):
    """Training on adversarials of projected gradient descent (Madry et al. 2018).

    ``clean_share`` of each batch stays clean.
    """

    method: Literal["pgd"]
    random_start: bool = True
    clean_share: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def share_clean(self) -> float:
        """The share of each batch that is not attacked."""
        return self.clean_share


class FastTraining(Ball):
    """Training on one step from a random start (Wong et al. 2020); a step of 1.25 eps by default, as there.

    It ends where it collapses: where one step no longer finds what PGD does (catastrophic overfitting).
    """

    method: Literal["fast"]
    random_start: bool = True
    clean_share: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def steps(self) -> int:
        """One."""
        return 1

    @property
    def step(self) -> Fraction:
        """The size of the step at the full eps."""
        return self.step_size or Fraction(5, 4) * self.eps

    @property
    def share_clean(self) -> float:
        """The share of each batch that is not attacked."""
        return self.clean_share


class TradesTraining(Descent):
    """TRADES (Zhang et al. 2019): cross-entropy on clean images + ``beta`` times the divergence under attack.

    The attack maximises that divergence, which has no gradient at the image itself: it starts at Gaussian
    noise of 0.001.
    """

    method: Literal["trades"]
    beta: Annotated[float, Field(gt=0)] = 6.0


class MartTraining(Descent):
    """MART (Wang et al. 2020): boosted cross-entropy under PGD, plus ``beta`` times a divergence.

    That is the divergence of what is unsure.
    """

    method: Literal["mart"]
    random_start: bool = True
    beta: Annotated[float, Field(gt=0)] = 5.0


Adversarial = Annotated[
    PgdTraining | FastTraining | TradesTraining | MartTraining, Field(discriminator="method")
]
HeadStart = Literal["random", "probe", "adversarial-probe"]
"""A new head starts at zero, trained alone on the frozen network, or so on adversarials (RoLI, 2024)."""
