"""Random augmentation of whole batches, drawn from one generator so that training is deterministic."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Generator, Tensor

Augment = Callable[[Tensor, Generator], Tensor]


def none(x: Tensor, generator: Generator) -> Tensor:  # noqa: ARG001
    """The images as they are."""
    return x


def crop_flip(x: Tensor, generator: Generator) -> Tensor:
    """Random crop after reflecting an eighth of the side, and horizontal flip with probability one half."""
    n, _, height, width = x.shape
    pad_y, pad_x = height // 8, width // 8
    padded = F.pad(x, (pad_x, pad_x, pad_y, pad_y), mode="reflect")
    top = torch.randint(0, 2 * pad_y + 1, (n, 1), generator=generator)
    left = torch.randint(0, 2 * pad_x + 1, (n, 1), generator=generator)
    flip = torch.rand(n, 1, generator=generator) < 0.5
    rows = (top + torch.arange(height)).to(x.device)
    columns = torch.arange(width).expand(n, -1)
    columns = (left + torch.where(flip, width - 1 - columns, columns)).to(x.device)
    sample = torch.arange(n, device=x.device)[:, None, None]
    return padded[sample, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def affine(x: Tensor, generator: Generator) -> Tensor:
    """Random rotation (15 degrees), scale (0.8-1.2), shear (0.2), shift (15 % of half the side), bilinear."""
    n = len(x)

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(n).uniform_(low, high, generator=generator)

    angle = uniform(-15, 15) * math.pi / 180
    scale_x = uniform(0.8, 1.2)
    scale_y = scale_x * uniform(0.9, 1.1)
    shear = uniform(-0.2, 0.2)
    shift = uniform(-0.15, 0.15), uniform(-0.15, 0.15)
    top = torch.stack([scale_x * angle.cos(), shear - scale_y * angle.sin(), shift[0]], dim=1)
    bottom = torch.stack([scale_x * angle.sin(), scale_y * angle.cos(), shift[1]], dim=1)
    grid = F.affine_grid(torch.stack([top, bottom], dim=1).to(x.device), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


AUGMENTATIONS: dict[str, Augment] = {"none": none, "crop-flip": crop_flip, "affine": affine}
