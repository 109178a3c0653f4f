"""Convolutions for a few images on a CPU: weights put in its kernels' order once, not at each pass."""

import copy
import itertools
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.fast.lossless import ALIKE, TOLERANCE, contiguous, least_agreement, max_difference
from adapters.fast.stem import StemConv2d

log = logging.getLogger(__name__)

ORDERED_FOR = 32
"""Images of a batch that the order is chosen for; any batch can be passed."""


class PackedConv2d(nn.Module):
    """A frozen ``nn.Conv2d`` whose weights lie as oneDNN's kernels read them.

    Those of a plain one are brought into that order at each pass, which for small images costs more than to
    convolve them. A folded ResNet18 takes on one core, in ms an image of 32 px, 3.6 alone and 2.1, 0.74 and
    0.54 in batches of 4, 16 and 32; packed it takes 1.8, 0.8, 0.45 and 0.43. Both ways it takes 7.2, 7.4, 2.3
    and 1.1 alone and in batches of 2, 8 and 32; packed 4.0, 3.0, 1.3 and 0.9.
    """

    def __init__(self, module: nn.Conv2d | StemConv2d) -> None:
        super().__init__()
        self.conv = module if isinstance(module, nn.Conv2d) else module.conv
        self._stem = module if isinstance(module, StemConv2d) else None
        self._packed: Tensor | None = None
        self._transposed: PackedConv2d | None = None

    @property
    def weight(self) -> Tensor:
        """The kernels, whose precision some networks bring an image to first."""
        return self.conv.weight

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to what the convolution makes of it."""
        if not (x.requires_grad and torch.is_grad_enabled()):
            return self.convolved(x)
        y: Tensor = _Packed.apply(x, self)
        return y

    def convolved(self, x: Tensor) -> Tensor:
        """As ``forward``, without a backward pass."""
        conv, ops = self.conv, torch.ops.mkldnn
        how = conv.padding, conv.stride, conv.dilation, conv.groups
        if self._packed is None:
            weight = conv.weight.contiguous(memory_format=torch.channels_last)
            self._packed = ops._reorder_convolution_weight(weight, *how, [ORDERED_FOR, *x.shape[1:]])
        ordered = x.contiguous(memory_format=torch.channels_last)
        y: Tensor = ops._convolution_pointwise(ordered, self._packed, conv.bias, *how, "none", [], "")
        return y

    def backward(self, gradient: Tensor, shape: torch.Size) -> Tensor:
        """The gradient of images of ``shape``, of that of what the convolution made of them.

        That is a convolution too, with the kernels turned round, where no image is left out at a stride.
        """
        if self._stem is not None:
            return self._stem.backward(gradient, shape)
        if self._transposed is None and _can_transpose(self.conv):
            self._transposed = PackedConv2d(_transposed(self.conv))
        if self._transposed is not None:
            return self._transposed.convolved(gradient)
        conv, unread = self.conv, gradient.new_empty(()).expand(shape)
        how = conv.stride, conv.padding, conv.dilation, False, [0, 0], conv.groups, [True, False, False]
        found: Tensor = torch.ops.aten.convolution_backward(gradient, unread, conv.weight, None, *how)[0]
        return found


class _Packed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, conv: PackedConv2d) -> Tensor:
        ctx.conv, ctx.shape = conv, x.shape
        return conv.convolved(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.conv.backward(gradient, ctx.shape), None


def _can_transpose(conv: nn.Conv2d) -> bool:
    plain = all(n == 1 for n in (*conv.stride, *conv.dilation, conv.groups))
    return plain and all(pad >= 0 for pad in _padding(conv))


def _padding(conv: nn.Conv2d) -> tuple[int, int]:
    """Of the convolution that brings a gradient back through ``conv``."""
    top, left = map(int, conv.padding)
    return conv.kernel_size[0] - 1 - top, conv.kernel_size[1] - 1 - left


def _transposed(conv: nn.Conv2d) -> nn.Conv2d:
    """The convolution that brings a gradient back through ``conv``, of stride 1."""
    how = conv.out_channels, conv.in_channels, (conv.kernel_size[0], conv.kernel_size[1])
    made = nn.Conv2d(*how, padding=_padding(conv), bias=False, device="meta")
    turned = conv.weight.detach().flip(2, 3).transpose(0, 1).contiguous()
    made.weight = nn.Parameter(turned, requires_grad=False)
    return made


def can_pack() -> bool:
    """Whether this build of torch has oneDNN, with the operations that torch's own compiler uses."""
    there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return there and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


def packed(network: nn.Module) -> nn.Module:
    """A copy of ``network`` (frozen, on the CPU) with PackedConv2d for its convolutions.

    All other tensors are shared.
    """
    tensors = itertools.chain(network.parameters(), network.buffers())
    made = copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})
    return _pack(made, {})


def _pack(module: nn.Module, made: dict[nn.Module, nn.Module]) -> nn.Module:
    """``module`` with its convolutions packed, or its stand-in; ``made`` has the stand-in for each so far."""
    if module not in made:
        conv = module.conv if isinstance(module, StemConv2d) else module
        made[module] = PackedConv2d(module) if type(conv) is nn.Conv2d and _is_plain(conv) else module  # type: ignore[arg-type]
        if made[module] is module:
            module._modules = {name: child and _pack(child, made) for name, child in module._modules.items()}
    return made[module]


def _is_plain(conv: nn.Conv2d) -> bool:
    """Whether ``conv`` does what its own parameters say, in float32; hooks may do anything."""
    plain = (
        conv.padding_mode == "zeros" and not isinstance(conv.padding, str) and "weight" in conv._parameters
    )
    hooked = conv._forward_hooks or any(hook is not contiguous for hook in conv._forward_pre_hooks.values())
    return plain and not hooked and conv.weight.dtype == torch.float32


def packed_if(network: nn.Module, agrees: Callable[[nn.Module], bool]) -> nn.Module | None:
    """The packed copy of ``network`` if it ``agrees`` with it; None also where it cannot be made or asked."""
    try:
        made = packed(network)
        return made if agrees(made) else None
    except Exception as error:  # noqa: BLE001 (a network's own code, on layers that are others now)
        log.debug("convolutions are not packed: %s: %s", type(error).__name__, error)
        return None


def for_few(classifier: Classifier, images: Tensor) -> Classifier:
    """``classifier`` (frozen), for gradients of a few images; it is checked on ``images`` (N x 3 x H x W).

    It is as it was where it cannot be packed, or is not the same function then.
    """
    if images.device.type != "cpu" or type(classifier) is not Classifier or not can_pack():
        return classifier

    def around(network: nn.Module) -> Classifier:
        made = copy.copy(classifier)
        made._modules = {**classifier._modules, "network": network}
        return made

    def agrees(network: nn.Module) -> bool:
        made = around(network)
        alike = max_difference(classifier, made, images) <= TOLERANCE
        return alike and min(least_agreement(classifier, made, images)) > ALIKE

    network = packed_if(classifier.network, agrees)
    return classifier if network is None else around(network)
