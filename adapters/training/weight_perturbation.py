"""Adversarial weight perturbation (Wu et al. 2020): a step where weights around make the loss worst."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from adapters.training.adversaries import moving_batchnorms, still
from adapters.training.objectives import Loss


@contextmanager
def perturbed(module: nn.Module, loss: Loss, gamma: float) -> Iterator[None]:
    """Within, ``module``'s trained weights lie along ``loss``'s gradient, by ``gamma`` of each layer's norm.

    Vectors (biases, normalisation) stay, as in the paper's code. Running statistics do not move for the
    gradient.
    """
    weights = [p for p in module.parameters() if p.requires_grad and p.dim() > 1]
    with still(moving_batchnorms(module)):
        gradients = torch.autograd.grad(loss(), weights, allow_unused=True)
    moves = [_move(p, g, gamma) for p, g in zip(weights, gradients, strict=True)]
    kept = [p.detach().clone() for p in weights]
    with torch.no_grad():
        for p, move in zip(weights, moves, strict=True):
            p.add_(move)
    try:
        yield
    finally:
        with torch.no_grad():
            for p, before in zip(weights, kept, strict=True):
                p.copy_(before)


@torch.no_grad()
def _move(weight: torch.Tensor, gradient: torch.Tensor | None, gamma: float) -> torch.Tensor:
    length = 0.0 if gradient is None else float(gradient.norm())
    if gradient is None or length == 0:
        return torch.zeros_like(weight)
    return gradient * (gamma * float(weight.norm()) / length)
