"""Random noise in the same ball: what it breaks, every sound attack must break too."""

from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from adapters.classifier import tensors
from bench.evidence import Evidence
from bench.runner import Target

CHUNK = 250
"""Draws that go through the model together."""
SHORT = 1 - 1e-5
"""Share of the budget that a direction is given, so that rounding does not carry it out."""


@torch.inference_mode()
def noise(target: Target, norm: str, eps: Fraction, count: int, draws: int) -> list[Evidence]:
    """Which of the ``count`` least certain samples, predicted correctly, any of ``draws`` random perturbations breaks."""
    correct = target.correct
    chosen = correct[np.argsort(target.clean.prob_true[correct], kind="stable")[:count]]
    generator = torch.Generator().manual_seed(0)
    broken = [i for i in chosen if _breaks(target, int(i), norm, float(eps), draws, generator)]
    ids = tuple(target.samples.ids[i] for i in broken)
    detail = f"{draws:,} random perturbations each break {len(broken)} of {len(chosen)} samples"
    share = len(broken) / max(len(chosen), 1)
    return [Evidence(f"noise-{norm}", "", 0, None, None, share, len(chosen), detail, ids, str(eps))]


def _breaks(target: Target, i: int, norm: str, eps: float, draws: int, generator: torch.Generator) -> bool:
    x, y = tensors(target.samples.take(np.array([i])), target.classifier.device)
    for _ in range(0, draws, CHUNK):
        moved = perturbed(x.expand(CHUNK, -1, -1, -1), norm, eps, generator)
        if bool((target.classifier(moved).argmax(1) != y).any()):
            return True
    return False


def perturbed(x: Tensor, norm: str, eps: float, generator: torch.Generator) -> Tensor:
    """``x`` (N x C x H x W) moved at random within ``eps``, inside the box.

    linf: each value to one end of its range, the corners of the ball being where a linear model breaks; l2 and l1: a random
    direction at full length; l0: eps random pixels to random values.
    """
    if norm == "l0":
        return _some_pixels(x, int(eps), generator)
    if norm == "linf":
        step = torch.randint(0, 2, x.shape, generator=generator).to(x) * 2 - 1
    else:
        step = torch.randn(x.shape, generator=generator).to(x)
        length = step.flatten(1).norm(p=2 if norm == "l2" else 1, dim=1)
        step = step / length[:, None, None, None] * SHORT
    return (x + eps * step).clamp(0, 1)


def _some_pixels(x: Tensor, count: int, generator: torch.Generator) -> Tensor:
    n, channels, height, width = x.shape
    order = torch.rand((n, height * width), generator=generator).argsort(1)
    chosen = (order < count).view(n, 1, height, width).to(x.device)
    return torch.where(chosen, torch.rand((n, channels, height, width), generator=generator).to(x), x)
