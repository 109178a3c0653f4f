"""The lossless form of a classifier for attacking: frozen, adapter merged, BatchNorm folded.

Same function, less work.
"""

import copy
import logging

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.fast.flow import Flow
from adapters.fast.folding import fold
from adapters.fast.stem import quicken_stem
from adapters.methods.adaptation import merged_copy
from adapters.precision import multiplying, round_once
from adapters.spec import Precision

TOLERANCE = 1e-4
"""Largest logit difference, relative to the largest logit, that counts as lossless (rounding: about 1e-6)."""
ALIKE, GRADIENTS = 0.99, 16
"""Least cosine, and ratio of lengths, of a lossless form's input gradients, and the images they are of.

Tracing takes only the forward pass along: a straight-through estimator becomes plain rounding, a gradient
hook vanishes.
"""
MANY_WEIGHTS = 2**20
"""Weights of a convolution from which a CPU keeps to the plain order in memory.

The order channels_last pays at few weights and many pixels, and costs a reordering of the weights at each
pass. Gradients of a folded ResNet18 on one core, in ms with everything in the plain order, everything in
channels_last, and as here: 107, 114, 102 for 16 images of 64 px, 410, 394, 386 for 64, and 635, 595, 592 for
8 of 224 px; in bf16 62, 59, 57; 220, 206, 197; 365, 316, 317.
"""

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
"""What can be folded into the convolution before it."""

log = logging.getLogger(__name__)


def lossless(classifier: Classifier, probe: Tensor, precision: Precision = "fp32") -> Classifier:
    """A copy of ``classifier`` for attacking in ``precision``.

    It is checked against ``classifier`` in float32 on ``probe`` (N x 3 x H x W). Falls back to the frozen
    original, and says so, where the check fails.
    """
    plain = copy.deepcopy(classifier).eval().requires_grad_(False)
    fast = _quickened(plain, probe)
    if probe.device.type != "cpu" and precision != "fp32":
        fast.network.to(memory_format=torch.channels_last)
    if precision == "bf16":
        round_once(fast.network)
    difference = max_difference(plain, fast, probe)
    if difference > TOLERANCE:
        log.warning(
            "the plain form is used: the fast one changes logits by %.1e, relative (limit %.0e)",
            difference,
            TOLERANCE,
        )
        return plain
    cosine, lengths = least_agreement(plain, fast, probe[:GRADIENTS])
    if not (cosine > ALIKE and lengths > ALIKE):
        log.warning(
            "the plain form is used: the fast one changes input gradients (cosine %.3f, lengths %.3f)",
            cosine,
            lengths,
        )
        return plain
    return fast


def _quickened(plain: Classifier, probe: Tensor) -> Classifier:
    """A copy of ``plain``: adapter merged, BatchNorm folded, each convolution (on a CPU) as it is fastest.

    What cannot be done is left out, and said so.
    """
    fast = _merged(plain)
    flow = _watched(fast, probe[:1])
    if flow is not None:
        fold(fast.network, flow.pairs)
        if probe.device.type == "cpu":
            quicken_stem(fast.network, flow.once)
        if (reason := _failure(fast, probe[:1])) is not None:
            log.warning(
                "BatchNorm is not folded: the network does more with its layers than call them (%s)", reason
            )
            fast = _merged(plain)
    if probe.device.type == "cpu":
        _order(fast.network)
    return fast


def _merged(plain: Classifier) -> Classifier:
    """A copy of ``plain`` with its adapter merged, if it can be."""
    merged = merged_copy(plain.network)
    network = copy.deepcopy(plain.network) if merged is None else merged
    fast = copy.copy(plain)
    fast._modules = {**plain._modules, "network": network.eval().requires_grad_(False)}
    return fast


def _watched(fast: Classifier, x: Tensor) -> Flow | None:
    """What feeds what in ``fast``'s network, as a pass of ``x`` shows; None if not so for all images."""
    flow, reason = Flow(fast.network), None
    try:
        flow.watch(fast, x)
    except Exception as error:  # noqa: BLE001 (a network's own code, under what watches it)
        reason = f"the network cannot be watched ({type(error).__name__}: {error})"
    if flow.depends_on_values:
        reason = "which layers the network calls may depend on the image"
    if reason and any(isinstance(module, NORMS) for module in fast.network.modules()):
        log.warning("BatchNorm is not folded: %s", reason)
    return None if reason else flow


@torch.no_grad()
def _failure(fast: Classifier, x: Tensor) -> str | None:
    """Why ``fast`` does not run on ``x``; None if it does."""
    try:
        fast(x)
    except Exception as error:  # noqa: BLE001 (a network's own code, on layers that are others now)
        return f"{type(error).__name__}: {error}"
    return None


def _order(network: nn.Module) -> None:
    """Give each convolution the order in memory that suits its size on a CPU."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() < MANY_WEIGHTS:
            module.to(memory_format=torch.channels_last)
        elif isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(contiguous)


def contiguous(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The hook that gives a convolution its ``inputs`` in the plain order."""
    return tuple(x.contiguous() for x in inputs)


@multiplying("fp32")
def least_agreement(a: nn.Module, b: nn.Module, x: Tensor) -> tuple[float, float]:
    """Cosine and ratio of lengths of the input gradients of ``a`` and ``b`` on ``x`` (N x 3 x H x W).

    Both of the worst but for a quarter, where a value at a kink may have been rounded to either side of it.
    What has no gradient through either agrees. The gradients are of the gap between the two largest logits,
    which never saturates.
    """
    one, other = (_gradients(model, x) for model in (a, b))
    lengths = [g.norm(dim=1) for g in (one, other)]
    silent = (lengths[0] == 0) & (lengths[1] == 0)
    cosine = torch.where(silent, 1.0, F.cosine_similarity(one, other, dim=1, eps=1e-30))
    ratio = torch.where(
        silent, 1.0, torch.minimum(lengths[0], lengths[1]) / torch.maximum(lengths[0], lengths[1])
    )
    return float(cosine.quantile(0.25)), float(ratio.quantile(0.25))


def _gradients(model: nn.Module, x: Tensor) -> Tensor:
    """Of the gap between the two largest logits of each of ``x``, flat; zero where none reaches the input."""
    with torch.enable_grad():
        inputs = x.clone().requires_grad_(True)
        largest = model(inputs).topk(2, dim=1).values
        if not largest.requires_grad:
            return torch.zeros_like(x).flatten(1)
        (gradient,) = torch.autograd.grad((largest[:, 0] - largest[:, 1]).sum(), inputs, allow_unused=True)
    return (torch.zeros_like(x) if gradient is None else gradient).flatten(1).double()


@torch.inference_mode()
@multiplying("fp32")
def max_difference(a: nn.Module, b: nn.Module, x: Tensor) -> float:
    """Largest logit difference of ``a`` and ``b`` on ``x``, relative to the largest logit of ``a``."""
    reference = a(x)
    return float((reference - b(x)).abs().max() / reference.abs().max().clamp(min=1))
