"""Random search in the same ball, without a gradient: what it breaks, every sound attack must break too."""

from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from adapters.classifier import tensors
from bench.engine.runner import Target
from bench.store.evidence import Evidence
from bench.store.records import Bools, Ints
from bench.trust.recorder import take
from bench.trust.search import search

CHUNK = 20
"""Draws that go through the model together: the next begin at the one that the model is least certain of."""
REDRAWN = (1.0, 0.3, 0.1, 0.03)
"""Share of the values that is drawn anew, in the first quarter of the draws and so on."""
SHORT = 1 - 1e-5
"""Share of the budget that a direction is given, so that rounding does not carry it out."""


def noise(
    target: Target, norm: str, eps: Fraction, count: int, draws: int, among: Ints | None = None
) -> list[Evidence]:
    """Which of the ``count`` least certain samples any of ``draws`` random perturbations breaks.

    Samples are of those that are predicted correctly, first ``among`` them.
    """
    certain = np.argsort(target.clean.prob_true, kind="stable")
    first = target.correct if among is None else among
    then = np.setdiff1d(target.correct, first)
    chosen = np.concatenate([certain[np.isin(certain, part)] for part in (first, then)])[:count]
    broken = chosen[_breaks(take(target, chosen), norm, float(eps), draws)] if len(chosen) else chosen
    ids = tuple(target.samples.ids[i] for i in broken)
    detail = (
        f"{draws:,} random perturbations each, the best kept, break {len(broken)} of {len(chosen)} samples"
    )
    share = len(broken) / max(len(chosen), 1)
    return [Evidence(f"noise-{norm}", "", 0, None, None, share, len(chosen), detail, ids, eps)]


def _breaks(target: Target, norm: str, eps: float, draws: int) -> Bools:
    """Which of the samples of ``target`` any of ``draws`` breaks: N."""
    generator = torch.Generator().manual_seed(0)
    x, y = tensors(target.samples, target.classifier.device)
    turns = draws // CHUNK

    def propose(left: Ints, best: Tensor, turn: int) -> Tensor:
        many = (CHUNK, *best.shape)
        moved = perturbed(x[left].expand(many).flatten(0, 1), norm, eps, generator).view(many)
        if norm != "linf":  # what two draws share is not within the ball
            return moved
        anew = torch.rand(many, generator=generator).to(x) < REDRAWN[len(REDRAWN) * turn // turns]
        return torch.where(anew, moved, best)

    return search(target.classifier, y, x, torch.full((len(x),), torch.inf).to(x), propose, turns)


def perturbed(x: Tensor, norm: str, eps: float, generator: torch.Generator) -> Tensor:
    """``x`` (N x C x H x W) moved at random within ``eps``, inside the box.

    linf: each value to one end of its range, the corners of the ball being where a linear model breaks; l2
    and l1: a random direction at full length; l0: eps random pixels to random values.
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
