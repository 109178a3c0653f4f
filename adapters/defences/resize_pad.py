"""Random resizing and padding (Xie et al. 2018)."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from adapters.defences.base import Transform

if TYPE_CHECKING:
    from torch import Tensor

    from adapters.defences.draws import Draws


class ResizePad(Transform):
    """The image shrunk to a random share, ``smallest`` or more, at a random place on black (Xie et al. 2018).

    Shares are of the image's side. Theirs enlarges the canvas from 299 to 331 pixels instead: a network of
    one size sees the same change of scale here.
    """

    defence: Literal["resize-pad"] = "resize-pad"
    smallest: Annotated[float, Field(ge=0.1, lt=1)] = 0.9
    random: ClassVar[bool] = True
    has_gradient: ClassVar[bool] = True

    def apply(self, x: "Tensor", draws: "Draws") -> "Tensor":
        """``x`` resized and padded."""
        from adapters.defences.resampling import resampled

        drawn = draws.uniform(x, 3)
        return resampled(x, self.smallest + (1 - self.smallest) * drawn[:, 0], drawn[:, 1:])
