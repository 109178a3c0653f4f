"""Random numbers for defences, so that a result depends neither on the batch nor on what was asked before."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class Draws:
    """A stream of random numbers for each image, or one that all images of a call share.

    While attacked, a model does not know which image is whose: all images of a call meet the same draw, and
    the next call the next one. So an image meets the same draws in any company. When judged, each image has a
    stream of its own, from its id.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._streams = [np.random.default_rng(seed) for seed in seeds]
        self.calls = 0
        """How many calls have been answered."""

    def normal(self, x: Tensor, *shape: int) -> Tensor:
        """Standard normal numbers for each image of ``x`` (N x ...): N x ``shape``."""
        return self._spread(x, [stream.standard_normal(shape, dtype=np.float32) for stream in self._streams])

    def uniform(self, x: Tensor, *shape: int) -> Tensor:
        """Uniform numbers from 0 to 1 for each image of ``x`` (N x ...): N x ``shape``."""
        return self._spread(x, [stream.random(shape, dtype=np.float32) for stream in self._streams])

    def _spread(self, x: Tensor, drawn: Sequence[object]) -> Tensor:
        numbers = torch.from_numpy(np.stack([np.asarray(one) for one in drawn])).to(x.device)
        if len(numbers) not in (1, len(x)):
            raise ValueError(f"{len(numbers)} streams of random numbers for {len(x)} images")
        return numbers.expand(len(x), *numbers.shape[1:])
