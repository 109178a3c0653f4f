"""Gaussian noise on the image: the base of randomised smoothing (Cohen et al. 2019)."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from adapters.defences.base import Transform

if TYPE_CHECKING:
    from torch import Tensor

    from adapters.defences.draws import Draws


class GaussianNoise(Transform):
    """Each query adds to each value noise of standard deviation ``sigma`` ([0, 1] scale), unclipped."""

    defence: Literal["gaussian-noise"] = "gaussian-noise"
    sigma: Annotated[float, Field(gt=0, le=1)] = 0.1
    random: ClassVar[bool] = True
    has_gradient: ClassVar[bool] = True

    def apply(self, x: "Tensor", draws: "Draws") -> "Tensor":
        """``x`` with noise."""
        return x + self.sigma * draws.normal(x, *x.shape[1:])
