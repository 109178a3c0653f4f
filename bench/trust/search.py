"""Random search without a gradient, around the best image so far."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench.store.records import Bools, Ints
from bench.trust.margin import margins

Propose = Callable[[Ints, Tensor, int], Tensor]
"""Given the positions of the images that are left, the best of each, and how many turns there have been.

It gives several versions of each: versions x left x C x H x W.
"""


@torch.inference_mode()
def search(model: nn.Module, y: Tensor, best: Tensor, least: Tensor, propose: Propose, turns: int) -> Bools:
    """Which images ``propose`` breaks, each time around the one with the least margin so far: N.

    It starts at ``best`` (N x C x H x W) and their margins, ``least``.
    """
    best, least = best.clone(), least.clone()
    for turn in range(turns):
        left = (least >= 0).nonzero()[:, 0]
        if not len(left):
            break
        moved = propose(left.cpu().numpy(), best[left], turn)
        closest, which = margins(model, moved, y[left]).min(0)
        nearer = closest < least[left]
        best[left[nearer]] = moved[which, torch.arange(len(left))][nearer]
        least[left[nearer]] = closest[nearer]
    broken: Bools = (least < 0).cpu().numpy()
    return broken
