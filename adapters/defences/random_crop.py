"""Random crops (Guo et al. 2018)."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from adapters.defences.base import Transform

if TYPE_CHECKING:
    from torch import Tensor

    from adapters.defences.draws import Draws


class RandomCrop(Transform):
    """A square, ``share`` of the image's side, cut at a random place and enlarged again (Guo et al. 2018)."""

    defence: Literal["random-crop"] = "random-crop"
    share: Annotated[float, Field(ge=0.1, lt=1)] = 0.9
    random: ClassVar[bool] = True
    has_gradient: ClassVar[bool] = True

    def apply(self, x: "Tensor", draws: "Draws") -> "Tensor":
        """``x`` cropped."""
        from adapters.defences.resampling import resampled

        drawn = draws.uniform(x, 2)
        return resampled(x, x.new_full((len(x),), 1 / self.share), drawn)
