"""The lossless form of a classifier for attacking: frozen, adapter merged, BatchNorm folded. Same function, less work."""

import copy
import logging

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.optimization import fuse

from adapters.adaptation import merged_copy
from adapters.classifier import Classifier
from adapters.precision import multiplying, round_once
from adapters.spec import Precision
from adapters.stem import quicken_stem

TOLERANCE = 1e-4
"""Largest logit difference, relative to the largest logit, at which the form counts as lossless (rounding gives about 1e-6)."""
MANY_WEIGHTS = 2**20
"""Weights of a convolution from which a CPU keeps to the plain order in memory: channels_last pays at few weights and many
pixels, and costs a reordering of the weights at each pass. Gradients of a folded ResNet18 on one core, in ms with everything in
the plain order, everything in channels_last, and as here: 107, 114, 102 for 16 images of 64 px, 410, 394, 386 for 64, and 635,
595, 592 for 8 of 224 px; in bf16 62, 59, 57; 220, 206, 197; 365, 316, 317."""

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
"""What can be folded into the convolution before it."""

log = logging.getLogger(__name__)


def lossless(classifier: Classifier, probe: Tensor, precision: Precision = "fp32") -> Classifier:
    """A copy of ``classifier`` for attacking in ``precision``, checked against it in float32 on ``probe`` (N x 3 x H x W).

    Falls back to the frozen original, and says so, where the check fails.
    """
    plain = copy.deepcopy(classifier).eval().requires_grad_(False)
    network = _folded(plain.network)
    if probe.device.type == "cpu":
        _suit_cpu(network)
    elif precision != "fp32":
        network = network.to(memory_format=torch.channels_last)
    if precision == "bf16":
        round_once(network)
    fast = copy.copy(plain)
    fast._modules = {**plain._modules, "network": network.eval().requires_grad_(False)}
    difference = max_difference(plain, fast, probe)
    if difference > TOLERANCE:
        log.warning("the plain form is used: the fast one changes logits by %.1e, relative (limit %.0e)", difference, TOLERANCE)
        return plain
    return fast


def _suit_cpu(network: nn.Module) -> None:
    """Give the first convolution its own backward pass, and each convolution the order in memory that suits its size."""
    if isinstance(network, fx.GraphModule):
        quicken_stem(network)
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() < MANY_WEIGHTS:
            module.to(memory_format=torch.channels_last)
        elif isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(_contiguous)


def _contiguous(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(x.contiguous() for x in inputs)


def _folded(network: nn.Module) -> nn.Module:
    """A copy of ``network``, its adapter merged and its BatchNorm folded; what cannot be done is left out, and said so."""
    whole = merged_copy(network)
    if whole is None:
        return copy.deepcopy(network)
    try:
        folded: nn.Module = fuse(whole)
    except Exception as error:  # noqa: BLE001 (tracing runs the network's own code on what are no tensors)
        if any(isinstance(module, NORMS) for module in whole.modules()):
            log.warning("BatchNorm is not folded: the network cannot be traced (%s: %s)", type(error).__name__, error)
        return whole
    return folded


@torch.inference_mode()
@multiplying("fp32")
def max_difference(a: nn.Module, b: nn.Module, x: Tensor) -> float:
    """Largest logit difference of ``a`` and ``b`` on ``x``, relative to the largest logit of ``a``."""
    reference = a(x)
    return float((reference - b(x)).abs().max() / reference.abs().max().clamp(min=1))
