"""Switching by confidence."""

from typing import TYPE_CHECKING, Literal

from adapters.defences.base import Switch

if TYPE_CHECKING:
    from torch import Tensor

    from adapters.defences.base import Ask


class ConfidenceSwitch(Switch):
    """Each image is answered by the member that is most certain of its answer."""

    defence: Literal["confidence-switch"] = "confidence-switch"

    def choose(self, x: "Tensor", logits: "Tensor", ask: "Ask") -> "Tensor":  # noqa: ARG002 (the logits tell all)
        """The member whose largest probability is the largest."""
        return logits.softmax(2).amax(2).argmax(0)
