"""JPEG compression as a defence (Das et al. 2017; Guo et al. 2018)."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from adapters.defences.base import Transform

if TYPE_CHECKING:
    from torch import Tensor

    from adapters.defences.draws import Draws


class Jpeg(Transform):
    """The image after being saved as a JPEG of ``quality`` (Guo et al. 2018), by ART's JpegCompression.

    Its gradient is zero everywhere; an adaptive attack passes back by the identity.
    """

    defence: Literal["jpeg"] = "jpeg"
    quality: Annotated[int, Field(ge=1, le=95)] = 75

    def apply(self, x: "Tensor", draws: "Draws") -> "Tensor":  # noqa: ARG002 (nothing is random)
        """``x`` compressed and decompressed."""
        from adapters.defences.via_art import jpeg

        return jpeg(x, self.quality)
