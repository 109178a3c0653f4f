"""Whether the loss changes as its gradient says, and whether values without a gradient change it."""

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from bench.scoring.trust import slope as grade
from bench.store.evidence import Evidence
from bench.trust.margin import margin
from bench.trust.probe import Probe

DIRECTIONS, MORE_DIRECTIONS = 4, 16
STEPS = (2 / 255, 6 / 255)
"""Lengths of the finite differences, in every value.

The shorter suits a network of many kinks, the longer one that rounds.
"""
SHARE = 1 / 4
"""Where neither suits, the length is this share of the budget that breaks an image, or else is examined.

That is about the step of an attack. It is taken in MORE_DIRECTIONS.
"""
NEARER, DESCENT = 3, 4
"""So many smaller budgets are tried, each a quarter of the last, by so many steps along the gradient."""
PARTS = 4
"""Draws for the values that have a gradient, and for those that have none."""


def slopes(probe: Probe) -> list[Evidence]:
    """As ``slope``, of the form that is attacked."""
    return slope(probe.model, probe.x, probe.y, probe.reach)


def slope(model: nn.Module, x: Tensor, y: Tensor, reach: float = math.inf) -> list[Evidence]:
    """How far random finite differences are as the gradient of the margin predicts: their mean cosine.

    That is, the cosine of the gradient and the one that the loss really has, at the better of two scales.
    Where that is poor, it is taken within the budget that breaks the image, or that is examined (``reach``,
    by which all values can be moved at once): farther off, where no attack goes, an honest network that so
    little breaks curves away from its gradient. And of the values whose gradient is zero or not finite, the
    share that they have in the change of the loss.
    """
    generator = torch.Generator().manual_seed(0)
    gradient = _gradient(model, x, y)
    finite = gradient.nan_to_num(0, 0, 0)
    cosine = max(_cosine(model, x, y, finite, _moves(x, step, DIRECTIONS, generator)) for step in STEPS)
    partial = _partial(model, x, y, gradient, generator)
    if grade(cosine, len(x)) != "pass":
        near = _moves(x, _within(model, x, y, reach), MORE_DIRECTIONS, generator)
        cosine = max(cosine, _cosine(model, x, y, finite, near))
    detail = (
        f"differences of the loss in random directions have a cosine of {cosine:.2f} with what its gradient"
        " predicts"
    )
    return [Evidence("slope", "", 0, None, None, cosine, len(x), detail), partial]


def _within(model: nn.Module, x: Tensor, y: Tensor, reach: float) -> Tensor:
    """A length for each of ``x`` (N x 1 x 1 x 1).

    It is a share of the smallest budget tried that breaks the image, else of ``reach``.
    """
    largest = min(reach, STEPS[0] / SHARE)
    budgets = torch.full((len(x), 1, 1, 1), largest).to(x)
    for budget in (largest / 4**k for k in range(1, NEARER + 1)):
        broken = margin(model(_descended(model, x, y, budget)).detach(), y) < 0
        budgets = torch.where(broken[:, None, None, None], budget, budgets)
    return budgets * SHARE


def _descended(model: nn.Module, x: Tensor, y: Tensor, budget: float) -> Tensor:
    """``x`` moved along the sign of the margin's gradient, by ``budget`` in each value at most."""
    moved = x
    for _ in range(DESCENT):
        step = _gradient(model, moved, y).nan_to_num(0, 0, 0).sign() * budget / 2
        moved = (x + (moved - step - x).clamp(-budget, budget)).clamp(0, 1)
    return moved


def _gradient(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    inputs = x.clone().requires_grad_(True)
    loss = margin(model(inputs), y).sum()
    if not loss.requires_grad:
        return torch.zeros_like(x)
    (gradient,) = torch.autograd.grad(loss, inputs, allow_unused=True)
    return torch.zeros_like(x) if gradient is None else gradient


def _moves(x: Tensor, step: float | Tensor, count: int, generator: torch.Generator) -> Iterator[Tensor]:
    """``count`` random directions, each of length ``step`` in every value of ``x``."""
    return (_signs(x, generator) * step for _ in range(count))


@torch.no_grad()
def _cosine(model: nn.Module, x: Tensor, y: Tensor, gradient: Tensor, moves: Iterable[Tensor]) -> float:
    """Mean over ``x`` of the cosine of real and predicted differences; 0 where all of either are zero."""
    found, foretold = [], []
    for move in moves:
        low, high = (x - move).clamp(0, 1), (x + move).clamp(0, 1)
        found.append(margin(model(high), y) - margin(model(low), y))
        foretold.append((gradient * (high - low)).flatten(1).sum(1))
    a, b = torch.stack(found).double(), torch.stack(foretold).double()
    lengths = a.norm(dim=0) * b.norm(dim=0)
    return float(torch.where(lengths > 0, (a * b).sum(0) / lengths.clamp(min=1e-300), 0).mean())


@torch.no_grad()
def _partial(
    model: nn.Module, x: Tensor, y: Tensor, gradient: Tensor, generator: torch.Generator
) -> Evidence:
    """Share of values without a gradient in the (squared) change of the loss if all are moved at random."""
    dead = (gradient == 0) | ~gradient.isfinite()
    zero, wild = float((gradient == 0).float().mean()), float((~gradient.isfinite()).float().mean())
    share = 0.0
    if bool(dead.any()):
        silent, heard = (_change(model, x, y, part.float(), generator) for part in (dead, ~dead))
        share = float((silent / (silent + heard).clamp(min=1e-300)).mean())
    detail = (
        f"{zero:.1%} of gradient values are zero, {wild:.1%} not finite: these values make {share:.0%} of the"
        " loss's change"
    )
    return Evidence("partial-gradients", "", 0, None, None, max(share, float(wild > 0)), len(x), detail)


def _change(model: nn.Module, x: Tensor, y: Tensor, part: Tensor, generator: torch.Generator) -> Tensor:
    """Mean squared change of the margin when the values in ``part`` are moved."""
    base = margin(model(x), y)
    moved = [
        margin(model((x + part * _signs(x, generator) * STEPS[1]).clamp(0, 1)), y) - base
        for _ in range(PARTS)
    ]
    return torch.stack(moved).double().square().mean(0)


def _signs(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2, x.shape, generator=generator).to(x) * 2 - 1
