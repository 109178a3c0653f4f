"""Images resized inside a model: part of the function that is attacked, and deterministic on any device."""

from functools import lru_cache

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor


def scaled(x: Tensor, side: int) -> Tensor:
    """``x`` (N x C x H x W) as N x C x side x side, bilinear; shrunk, each pixel is a mean of all it covers.

    As ``F.interpolate`` with antialias=True, to rounding, by one product along each side: its backward pass
    on a GPU adds up in any order. Pixels are not rounded to bfloat16, however the network is computed.
    """
    with torch.autocast(x.device.type, enabled=False):
        rows, columns = (_weights(length, side).to(x) for length in x.shape[2:])
        return rows @ x @ columns.T


@lru_cache(maxsize=16)
def _weights(length: int, side: int) -> Tensor:
    """How much of each of ``length`` pixels is in each of ``side``: side x length, rows that sum to 1."""
    with torch.inference_mode(mode=False):
        whole = torch.eye(length, dtype=torch.float64)[None, None]
        return F.interpolate(whole, size=(side, length), mode="bilinear", antialias=True)[0, 0]
