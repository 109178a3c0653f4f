"""Samples and classifier of a control run, with what the attack saw of the model on its way."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from adapters.classifier import Classifier
from bench.engine.runner import Target


class Recorder(Classifier):
    """Passes everything on to ``inner`` and keeps the logits that an attack saw.

    The runner, which judges in inference mode, adds none.
    """

    def __init__(self, inner: Classifier) -> None:
        nn.Module.__init__(self)
        self.inner = inner
        self.num_classes = inner.num_classes
        self.path: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """Logits of ``x``."""
        logits: Tensor = self.inner(x)
        if not torch.is_inference_mode_enabled():
            self.path.append(logits.detach().clone())
        return logits


def subset(target: Target, count: int) -> Target:
    """``count`` of the samples predicted correctly, evenly spaced, as one batch."""
    return take(target, spread(target, count))


def spread(target: Target, count: int) -> npt.NDArray[np.int64]:
    """The positions of ``count`` of the samples predicted correctly, evenly spaced."""
    chosen: npt.NDArray[np.int64] = target.correct[spaced(len(target.correct), count)]
    return chosen


def spaced(n: int, count: int) -> npt.NDArray[np.int64]:
    """``count`` positions among ``n``, evenly spaced; all where there are no more."""
    return np.unique(np.linspace(0, n - 1, min(count, n)).round().astype(np.int64))


def take(target: Target, index: npt.NDArray[np.int64]) -> Target:
    """The samples at ``index`` as one batch."""
    clean = target.clean.take(index)
    return replace(target, samples=target.samples.take(index), clean=clean, batch_size=max(len(index), 1))
