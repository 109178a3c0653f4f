"""White-box attacks of a fixed budget: they follow gradients inside the ball of size eps."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bench.attacks.attack import Count, Positive, RandomStart, Restarts, Steps

LpNorm = Literal["linf", "l2", "l1"]


class Fgsm(RandomStart):
    """The fast gradient (sign) method: one step of size eps (Goodfellow et al. 2015)."""

    attack: Literal["fgsm"]
    norm: LpNorm = "linf"


class Bim(Steps):
    """The basic iterative method: FGSM in small steps from the image itself (Kurakin et al. 2017)."""

    attack: Literal["bim"]
    norm: Literal["linf", "l2"] = "linf"
    random_start: Literal[False] = False


class MiFgsm(Steps):
    """Momentum iterative FGSM: steps along accumulated gradients of unit l1 norm (Dong et al. 2018)."""

    attack: Literal["mi-fgsm"]
    norm: Literal["linf", "l2"] = "linf"
    decay: Annotated[float, Field(ge=0, le=1)] = 1.0


class Pgd(Steps):
    """Projected gradient descent (Madry et al. 2018). The steps together reach 2.5 eps by default."""

    usual_reach: ClassVar[float] = 2.5
    attack: Literal["pgd"]
    norm: LpNorm = "linf"
    steps: Annotated[int, Field(ge=1, le=100_000)] = 40


class Apgd(Restarts):
    """Auto-PGD: momentum, and a step size that halves by itself (Croce and Hein 2020).

    Always from a random start. ``loss`` is cross-entropy or the difference of logits ratio (DLR, at least 3
    classes).
    """

    attack: Literal["apgd"]
    norm: LpNorm = "linf"
    steps: Count = 100
    rel_step_size: Positive = 2.0
    loss: Literal["ce", "dlr"] = "ce"

    def _details(self) -> tuple[str, ...]:
        return (self.loss, "targeted" if self.targeted else "", str(self.steps))


class Arc(Steps):
    """ARC: the members of a randomised ensemble are fooled one after another (Dbouk and Shanbhag 2022).

    On a model that is none, it steps to the nearest of the boundaries to the ``candidates`` likeliest
    classes. The steps together reach 2.5 eps by default.
    """

    usual_reach: ClassVar[float] = 2.5
    attack: Literal["arc"]
    norm: Literal["linf", "l2"] = "linf"
    steps: Annotated[int, Field(ge=1, le=100_000)] = 20
    candidates: Annotated[int, Field(ge=1)] = 4
    random_start: Literal[False] = False
    targeted: Literal[False] = False
    restarts: Literal[1] = 1
