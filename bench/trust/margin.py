"""The logit margin, the loss of most checks: it neither saturates nor depends on the scale of the logits."""

import torch
from torch import Tensor


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """Logit of the true class minus the largest other; negative where misclassified. Length N."""
    true = logits.gather(1, y[:, None])[:, 0]
    others = logits.scatter(1, y[:, None], -torch.inf)
    return true - others.amax(1)
