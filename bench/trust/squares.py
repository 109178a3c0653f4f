"""A search without a gradient from where a descent has failed: what it breaks, no gradient showed."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from adapters.classifier import tensors
from bench.store.evidence import Evidence
from bench.store.records import Ints
from bench.trust.effort import SQUARES
from bench.trust.margin import margin
from bench.trust.recorder import spaced, take
from bench.trust.search import search
from bench.trust.stronger import MORE, RARE, Reach, Tried

AREAS = (0.25, 0.1, 0.04)
"""Share of the image that a square covers: in the first third of the turns, and so on."""
TURNS = 12
"""The squares of each turn are tried on the best image of the last, all at once."""


def search_where_descent_failed(reach: Reach, descent: Tried, count: int) -> Iterator[Evidence]:
    """What squares of random colours break (Andriushchenko et al. 2020) of ``count`` images.

    They start where the ``descent`` failed: there, little is missing. If more than one in RARE breaks, MORE
    times as many are searched, for twice as long. Only in linf, where a square of any colour can be added to
    what is there.
    """
    failed = np.flatnonzero(~descent.success)
    if reach.norm != "linf" or not len(failed):
        return
    tried = failed[spaced(len(failed), count)]
    broken = _searched(reach, descent, tried, TURNS)
    if RARE * len(broken) > len(tried):
        tried = np.union1d(tried, failed[spaced(len(failed), MORE * count)])
        left = np.setdiff1d(tried, broken)
        broken = np.concatenate([broken, _searched(reach, descent, left, 2 * TURNS)])
    detail = f"by {SQUARES} random squares from where descent on the margin ends"
    part = len(failed) / len(descent.samples)
    yield reach.evidence("search", tried, descent.samples[broken], detail, part)


def _searched(reach: Reach, descent: Tried, index: Ints, turns: int) -> Ints:
    """Which of the images of ``descent`` at ``index`` break."""
    if not len(index):
        return index
    few, start = take(reach.target, descent.samples[index]), descent.images[index]
    model, eps = few.classifier, float(reach.eps)
    x, y = tensors(few.samples, model.device)
    generator = torch.Generator().manual_seed(0)

    def propose(left: Ints, best: Tensor, turn: int) -> Tensor:
        many = (SQUARES // TURNS, *best.shape)
        colours = torch.randint(0, 2, (*many[:3], 1, 1), generator=generator).to(best) * 2 - 1
        inside = squares(many, AREAS[len(AREAS) * turn // turns], generator).to(best.device)
        return torch.where(inside, (x[left] + eps * colours).clamp(0, 1), best)

    with torch.inference_mode():
        least = margin(model(start), y)
    return index[search(model, y, start, least, propose, turns)]


def squares(many: tuple[int, ...], area: float, generator: torch.Generator) -> Tensor:
    """Random squares (as an image's sides: rectangles) of ``area``, a share of the image.

    ``many``: versions x N x C x H x W, of which the mask has versions x N x 1 x H x W.
    """
    inside = []
    for side in many[3:]:
        length = max(round(side * area**0.5), 1)
        start = torch.randint(0, side - length + 1, (*many[:2], 1), generator=generator)
        inside.append((torch.arange(side) >= start) & (torch.arange(side) < start + length))
    rows, columns = inside
    return torch.logical_and(rows[..., :, None], columns[..., None, :])[:, :, None]
