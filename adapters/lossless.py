"""The lossless form of a classifier for attacking: frozen, adapter merged, BatchNorm folded. Same function, less work."""

import copy
import logging

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from adapters.adaptation import merged
from adapters.classifier import Classifier

TOLERANCE = 1e-4
"""Largest logit difference, relative to the largest logit, at which the form counts as lossless (rounding gives about 1e-6)."""

log = logging.getLogger(__name__)


def lossless(classifier: Classifier, probe: Tensor) -> Classifier:
    """A copy of ``classifier`` for attacking, checked against it on ``probe`` (N x 3 x H x W).

    Falls back to the frozen original, and says so, where the check fails or the network cannot be traced.
    """
    plain = copy.deepcopy(classifier).eval().requires_grad_(False)
    try:
        network = fuse(merged(copy.deepcopy(plain.network)))
    except torch.fx.proxy.TraceError as error:
        log.warning("BatchNorm is not folded: the network cannot be traced (%s)", error)
        return plain
    fast = copy.copy(plain)
    fast._modules = {**plain._modules, "network": network.requires_grad_(False)}
    difference = max_difference(plain, fast, probe)
    if difference > TOLERANCE:
        log.warning("the plain form is used: folding changes logits by %.1e, relative (limit %.0e)", difference, TOLERANCE)
        return plain
    return fast.eval()


@torch.inference_mode()
def max_difference(a: nn.Module, b: nn.Module, x: Tensor) -> float:
    """Largest logit difference of ``a`` and ``b`` on ``x``, relative to the largest logit of ``a``."""
    reference = a(x)
    return float((reference - b(x)).abs().max() / reference.abs().max().clamp(min=1))
