"""Median smoothing (Xu et al. 2018)."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from adapters.defences.base import Transform

if TYPE_CHECKING:
    from torch import Tensor

    from adapters.defences.draws import Draws


class Median(Transform):
    """The median of the ``width`` x ``width`` values around each one, channel by channel (Xu et al. 2018).

    By ART's SpatialSmoothing, which gives no gradient; an adaptive attack passes back to the values that were
    chosen.
    """

    defence: Literal["median"] = "median"
    width: Annotated[int, Field(ge=3, le=15)] = 3

    def apply(self, x: "Tensor", draws: "Draws") -> "Tensor":  # noqa: ARG002 (nothing is random)
        """``x`` smoothed."""
        from adapters.defences.via_art import median

        return median(x, self.width)

    def stand_in(self, x: "Tensor") -> "Tensor":
        """The same in torch, whose gradient goes to the value that is the median."""
        import torch.nn.functional as F  # noqa: N812 (torch's own convention)

        before, after = self.width // 2, (self.width - 1) // 2
        padded = _mirrored(_mirrored(x, before, after, 2), before, after, 3)
        n, c, h, w = x.shape
        windows = F.unfold(padded, self.width).view(n, c, self.width**2, h, w)
        return windows.sort(dim=2).values[:, :, self.width**2 // 2]


def _mirrored(x: "Tensor", before: int, after: int, dim: int) -> "Tensor":
    """``x`` continued beyond its edges along ``dim`` as by scipy's "reflect": the edge itself is repeated."""
    import torch

    first, last = x.narrow(dim, 0, before).flip(dim), x.narrow(dim, x.shape[dim] - after, after).flip(dim)
    return torch.cat([first, x, last], dim)
