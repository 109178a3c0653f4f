"""Parts of an image seen at another size and place, differentiably and each image in its own way."""

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor


def resampled(x: Tensor, zoom: Tensor, place: Tensor) -> Tensor:
    """``x`` (N x C x H x W) shown ``zoom`` (N) times as large, bilinearly; what lies outside of it is black.

    ``place`` (N x 2, from 0 to 1) says where, down and across: of the room that a smaller image leaves, or of
    what a larger one hides.
    """
    centre = (2 * place - 1) * (1 - zoom)[:, None]  # of the shown image, from -1 to 1
    theta = torch.zeros(len(x), 2, 3, dtype=x.dtype, device=x.device)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / zoom
    theta[:, 0, 2], theta[:, 1, 2] = -centre[:, 1] / zoom, -centre[:, 0] / zoom
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
