"""Gaussian smoothing."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from adapters.defences.base import Transform

if TYPE_CHECKING:
    from torch import Tensor

    from adapters.defences.draws import Draws

REACH = 3
"""Standard deviations at which the kernel ends."""


class GaussianBlur(Transform):
    """The image smoothed with a Gaussian kernel of standard deviation ``sigma`` pixels.

    Its gradient is its own.
    """

    defence: Literal["gaussian-blur"] = "gaussian-blur"
    sigma: Annotated[float, Field(gt=0, le=10)] = 1.0
    has_gradient: ClassVar[bool] = True

    def apply(self, x: "Tensor", draws: "Draws") -> "Tensor":  # noqa: ARG002 (nothing is random)
        """``x`` smoothed, its edges continued."""
        import math

        import torch
        import torch.nn.functional as F  # noqa: N812 (torch's own convention)

        reach = math.ceil(REACH * self.sigma)
        at = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
        kernel = torch.exp(-(at**2) / (2 * self.sigma**2))
        kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, -1)
        padded = F.pad(x, (reach,) * 4, mode="replicate")
        across = F.conv2d(padded, kernel[:, :, None, :], groups=x.shape[1])
        return F.conv2d(across, kernel[:, :, :, None], groups=x.shape[1])
