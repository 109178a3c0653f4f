"""Attacks as a plain PyTorch loop has them: what the whole product must agree with, sample by sample."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor

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
