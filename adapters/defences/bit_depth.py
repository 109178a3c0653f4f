"""Feature squeezing by bit depth (Xu et al. 2018)."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from adapters.defences.base import Transform

if TYPE_CHECKING:
    from torch import Tensor

    from adapters.defences.draws import Draws


class BitDepth(Transform):
    """Each value is rounded to one of 2^``bits`` levels (Xu et al. 2018), by ART's FeatureSqueezing.

    Its gradient is zero everywhere; an adaptive attack passes back by the identity.
    """

    defence: Literal["bit-depth"] = "bit-depth"
    bits: Annotated[int, Field(ge=1, le=8)] = 4

    def apply(self, x: "Tensor", draws: "Draws") -> "Tensor":  # noqa: ARG002 (nothing is random)
        """``x`` on 2^bits levels."""
        from adapters.defences.via_art import squeezed

        return squeezed(x, self.bits)
