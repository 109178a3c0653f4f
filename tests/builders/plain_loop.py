"""Attacks as a plain PyTorch loop has them: what the whole product must agree with, sample by sample."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from adapters.images import ImageSet

Logits = Callable[[Tensor], Tensor]
Flags = npt.NDArray[np.bool_]


def gradient(logits: Logits, x: Tensor, y: Tensor) -> Tensor:
    """Of the cross-entropy, summed over the images."""
    x = x.clone().requires_grad_(True)
    (found,) = torch.autograd.grad(F.cross_entropy(logits(x), y, reduction="sum"), x)
    return found


def fgsm(logits: Logits, x: Tensor, y: Tensor, eps: float) -> Tensor:
    return (x + eps * gradient(logits, x, y).sign()).clamp(0, 1)


def pgd(logits: Logits, x: Tensor, y: Tensor, eps: float, *, steps: int, rel_step_size: float) -> Tensor:
    """From the image itself."""
    found = x
    for _ in range(steps):
        found = found + rel_step_size * eps * gradient(logits, found, y).sign()
        found = torch.minimum(torch.maximum(found, x - eps), x + eps).clamp(0, 1)
    return found


def right(logits: Logits, x: Tensor, y: Tensor) -> Flags:
    with torch.inference_mode():
        return np.asarray((logits(x).argmax(1) == y).numpy())


def briefly_trained(
    network: nn.Module, images: ImageSet, mean: float, std: float, *, steps: int = 12
) -> nn.Module:
    """``network`` after some steps on ``images``: right more often than not, and easily fooled."""
    x, y = (torch.from_numpy(images.x) - mean) / std, torch.from_numpy(images.labels)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for i in range(steps):
        batch = torch.arange(32 * i, 32 * (i + 1)) % len(x)
        optimizer.zero_grad()
        F.cross_entropy(network.train()(x[batch]), y[batch]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval()
