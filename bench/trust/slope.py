"""Whether the loss changes as its gradient says, and whether values without a gradient change it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from adapters.classifier import tensors
from bench.scoring.trust import slope as grade
from bench.store.evidence import Evidence
from bench.trust.margin import margin, margins
from bench.trust.probe import Probe
from bench.trust.recorder import spaced, take
from bench.trust.stronger import Reach, Tried

DIRECTIONS, MORE_DIRECTIONS = 4, 16
CALLS = 3
"""Times that a gradient is asked for: each answer has to hold, as a model may give one in so many rightly."""
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


def slope_where_attacked(reach: Reach, descent: Tried, by: float, count: int) -> Iterator[Evidence]:
    """As ``slope``, where the ``descent`` on ``count`` of the images on which the attacks fail ended.

    All values can be moved by ``by`` at once. There is something to say only where it is poor: a gradient can
    be right on images as they are, or on most of them, and wrong where an attack needs it. They are moved a
    little more, since images, and corners of most budgets, have whole 8-bit levels.
    """
    where = spaced(len(descent.samples), count)
    if not len(where):
        return
    few, moved = take(reach.target, descent.samples[where]), descent.images[where]
    _, y = tensors(few.samples, few.classifier.device)
    shift = torch.rand(moved.shape, generator=torch.Generator().manual_seed(0)).to(moved) - 0.5
    found, _ = slope(few.classifier, (moved + shift / 255).clamp(0, 1), y, by)
    if found.value is not None and grade(found.value, found.n) != "pass":
        yield replace(found, detail=f"where attacks fail, {found.detail}")


def slope(model: nn.Module, x: Tensor, y: Tensor, reach: float = math.inf) -> list[Evidence]:
    """How far random finite differences are as the gradient of the margin predicts: their mean cosine.

    That is, the cosine of the gradient and the one that the loss really has, at the better of two scales.
    Where that is poor, it is taken within the budget that breaks the image, or that is examined (``reach``,
    by which all values can be moved at once): farther off, where no attack goes, an honest network that so
    little breaks curves away from its gradient. And of the values whose gradient is zero or not finite, the
    share that they have in the change of the loss. Where the same question gets several gradients, the worst
    of them counts.
    """
    asked = [_gradient(model, x, y) for _ in range(CALLS)]
    found = [_slope(model, x, y, reach, gradient) for gradient in _distinct(asked)]
    return min(found, key=lambda evidence: evidence[0].value or 0.0)


def _distinct(gradients: Sequence[Tensor]) -> list[Tensor]:
    """The first of ``gradients``, and those that differ from it."""
    first, *others = gradients
    return [first, *(g for g in others if not torch.equal(g.nan_to_num(), first.nan_to_num()))]


def _slope(model: nn.Module, x: Tensor, y: Tensor, reach: float, gradient: Tensor) -> list[Evidence]:
    """As ``slope``, of one answer for the ``gradient``."""
    generator = torch.Generator().manual_seed(0)
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


def _moves(x: Tensor, step: float | Tensor, count: int, generator: torch.Generator) -> Tensor:
    """``count`` random directions, each of length ``step`` in every value of ``x``: count x N x C x H x W."""
    return torch.stack([_signs(x, generator) for _ in range(count)]) * step


@torch.no_grad()
def _cosine(model: nn.Module, x: Tensor, y: Tensor, gradient: Tensor, moves: Tensor) -> float:
    """Mean over ``x`` of the cosine of real and predicted differences; 0 where all of either are zero."""
    low, high = (x - moves).clamp(0, 1), (x + moves).clamp(0, 1)
    from_low, from_high = margins(model, torch.cat([low, high]), y).chunk(2)
    found = (from_high - from_low).double()
    foretold = (gradient * (high - low)).flatten(2).sum(2).double()
    lengths = found.norm(dim=0) * foretold.norm(dim=0)
    return float(torch.where(lengths > 0, (found * foretold).sum(0) / lengths.clamp(min=1e-300), 0).mean())


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
    moved = (x + part * _moves(x, STEPS[1], PARTS, generator)).clamp(0, 1)
    found = margins(model, torch.cat([x[None], moved]), y)
    return (found[1:] - found[0]).double().square().mean(0)


def _signs(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2, x.shape, generator=generator).to(x) * 2 - 1
