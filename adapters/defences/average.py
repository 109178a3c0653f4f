"""Ensembles: members that answer together."""

from typing import TYPE_CHECKING, Literal

from adapters.defences.base import Averaging

if TYPE_CHECKING:
    from torch import Tensor

LEAST = 1e-12
"""The share under which the logarithm of one is cut off."""


class Average(Averaging):
    """The mean of the members' ``what``: logits, probabilities, or votes (equal votes: by probability)."""

    defence: Literal["average"] = "average"
    what: Literal["logits", "probabilities", "votes"] = "probabilities"

    @property
    def has_gradient(self) -> bool:
        """Votes have none."""
        return self.what != "votes"

    def merge(self, logits: "Tensor") -> "Tensor":
        """Mean logits, or the logarithm of the mean probabilities or of the shares of the vote."""
        if self.what == "logits":
            return logits.mean(0)
        if self.what == "probabilities":
            return self.stand_in(logits)
        import torch.nn.functional as F  # noqa: N812 (torch's own convention)

        votes = F.one_hot(logits.argmax(2), logits.shape[2]).sum(0)
        shares = (votes + self.stand_in(logits).exp()) / (len(logits) + 1)
        return shares.clamp(min=LEAST).log()

    def stand_in(self, logits: "Tensor") -> "Tensor":
        """Of votes, which have hardly a gradient: the logarithm of the mean probabilities."""
        import math

        if self.what == "logits":
            return logits.mean(0)
        return logits.log_softmax(2).logsumexp(0) - math.log(len(logits))
