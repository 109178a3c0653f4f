"""The logit margin, the loss of most checks: it neither saturates nor depends on the scale of the logits."""

import torch
from torch import Tensor, nn

from bench.engine.prepare import batch_on_cpu

SMALLEST = 25
"""Images that go through the model together, at least: of a few, each takes several times as long."""


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """Logit of the true class minus the largest other; negative where misclassified. Length N."""
    true = logits.gather(1, y[:, None])[:, 0]
    others = logits.scatter(1, y[:, None], -torch.inf)
    return true - others.amax(1)


def margins(model: nn.Module, images: Tensor, y: Tensor) -> Tensor:
    """Of several versions of N images (versions x N x C x H x W), in large batches: versions x N."""
    height, width = images.shape[-2:]
    size = max(SMALLEST, batch_on_cpu(height * width))
    logits = torch.cat([model(part) for part in torch.split(images.flatten(0, 1), size)])
    return margin(logits, y.repeat(len(images))).view(len(images), -1)
