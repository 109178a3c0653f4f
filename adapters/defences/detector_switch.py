"""Switching by a detector of suspicious inputs: the perceived threat level."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from adapters.defences.base import Switch
from adapters.defences.bit_depth import BitDepth
from adapters.defences.median import Median

if TYPE_CHECKING:
    from torch import Tensor

    from adapters.defences.base import Ask


class DetectorSwitch(Switch):
    """The first member answers, unless the image is suspicious: then the second does.

    Suspicious is what the first member answers otherwise once it is squeezed (Xu et al. 2018): the largest L1
    distance of its probabilities for the image and for the image at ``bits`` bits, or after a median of
    ``width``, is above ``threshold`` (from 0 to 2). Each image costs two more passes.
    """

    defence: Literal["detector-switch"] = "detector-switch"
    bits: Annotated[int, Field(ge=1, le=8)] = 4
    width: Annotated[int, Field(ge=3, le=15)] = 3
    threshold: Annotated[float, Field(ge=0, le=2)] = 0.5
    members: ClassVar[int | None] = 2
    extra_passes: ClassVar[int] = 2

    def choose(self, x: "Tensor", logits: "Tensor", ask: "Ask") -> "Tensor":
        """1 where the image is suspicious, else 0."""
        return (self.suspicion(x, logits[0], ask) > self.threshold).long()

    def suspicion(self, x: "Tensor", logits: "Tensor", ask: "Ask") -> "Tensor":
        """The detector's score (N) of ``x``, of which the first member says ``logits`` (N x classes)."""
        import torch

        from adapters.defences.draws import Draws

        none = Draws([0])
        with torch.no_grad():
            squeezed = [BitDepth(bits=self.bits).apply(x, none), Median(width=self.width).apply(x, none)]
            gaps = [(ask(0, one).softmax(1) - logits.softmax(1)).abs().sum(1) for one in squeezed]
        return torch.stack(gaps).amax(0)
