"""Training adversarials: projected gradient descent inside a ball, on the network as it stands."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Generator, Tensor, nn

Norm = Literal["linf", "l2"]
SMALLEST = 1e-12
"""A norm that is smaller is not divided by."""


def descend(
    loss: Callable[[Tensor], Tensor],
    x: Tensor,
    start: Tensor,
    *,
    norm: Norm,
    eps: float,
    step: float,
    steps: int,
) -> Tensor:
    """``steps`` steps from ``start`` up ``loss`` (a sum over images), within ``eps`` of ``x`` and [0, 1].

    Images are N x C x H x W. Step by step it does the arithmetic of Foolbox's PGD, as attacks use it here,
    and gives bitwise the same images.
    """
    moved = start
    for _ in range(steps):
        leaf = moved.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(leaf), leaf)
        moved = leaf.detach() + step * _direction(gradient, norm)
        moved = _within(moved, x, norm, eps)
    return moved.detach()


def random_start(x: Tensor, *, norm: Norm, eps: float, generator: Generator) -> Tensor:
    """A point drawn uniformly from the ball of size ``eps`` around each image of ``x``, clipped to [0, 1].

    Drawn on the CPU, by ``generator``, so that a training is the same on every device.
    """
    if norm == "linf":
        ball = 2 * torch.rand(x.shape, generator=generator) - 1
    else:
        ball = torch.randn(x.shape, generator=generator)
        radius = torch.rand(len(x), generator=generator) ** (1 / x[0].numel())
        ball *= _per_image(radius / ball.flatten(1).square().sum(1).sqrt())
    return (x + eps * ball.to(x.device)).clamp(0, 1)


def gaussian_start(x: Tensor, size: float, generator: Generator) -> Tensor:
    """``x`` with Gaussian noise of standard deviation ``size``."""
    return x + size * torch.randn(x.shape, generator=generator).to(x.device)


def _direction(gradient: Tensor, norm: Norm) -> Tensor:
    """The step of norm 1 that increases the loss most; none where the gradient is zero."""
    if norm == "linf":
        return gradient.sign()
    lengths = gradient.flatten(1).square().sum(1).sqrt()
    return gradient / _per_image(torch.where(lengths > 0, lengths, 1.0))


def _within(moved: Tensor, x: Tensor, norm: Norm, eps: float) -> Tensor:
    """``moved`` brought within ``eps`` of ``x`` and within [0, 1].

    In l2 [0, 1] comes first of all, or part of the budget would be lost.
    """
    if norm == "linf":
        return (x + (moved - x).clamp(-eps, eps)).clamp(0, 1)
    offset = moved.clamp(0, 1) - x
    lengths = offset.flatten(1).square().sum(1).sqrt().clamp(min=SMALLEST)
    return (x + offset * _per_image((eps / lengths).clamp(max=1))).clamp(0, 1)


def _per_image(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


@contextmanager
def crafting(network: nn.Module, batchnorm: Literal["eval", "train"]) -> Iterator[None]:
    """Within, ``network`` is asked by an attacker: its parameters need no gradient, dropout is off.

    A BatchNorm in training mode normalises as ``batchnorm`` says, and its running statistics do not move.
    Afterwards all is as before.
    """
    frozen = [p for p in network.parameters() if p.requires_grad]
    modes = [(module, module.training) for module in network.modules()]
    batches = moving_batchnorms(network) if batchnorm == "train" else []
    for parameter in frozen:
        parameter.requires_grad_(False)
    for module, _ in modes:
        module.training = module in batches
    try:
        with still(batches):
            yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter in frozen:
            parameter.requires_grad_(True)


def moving_batchnorms(network: nn.Module) -> list[nn.BatchNorm2d]:
    """BatchNorms of ``network`` that, as it stands, normalise by the batch and move running statistics."""
    return [
        m for m in network.modules() if isinstance(m, nn.BatchNorm2d) and m.training and m.track_running_stats
    ]


@contextmanager
def still(batchnorms: list[nn.BatchNorm2d]) -> Iterator[None]:
    """Within, ``batchnorms`` in training mode normalise by the batch but leave their running statistics."""
    for module in batchnorms:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in batchnorms:
            module.track_running_stats = True
