"""Convolutions for gradient-free passes on a CPU: weights put in its kernels' order once, not each pass."""

import copy
import itertools

import torch
from torch import Tensor, nn

from adapters.fast.lossless import contiguous
from adapters.fast.stem import StemConv2d

ORDERED_FOR = 32
"""Images of a batch that the order is chosen for; any batch can be passed."""


class PackedConv2d(nn.Module):
    """A frozen ``nn.Conv2d`` whose weights lie as oneDNN's kernels read them.

    Those of a plain one are brought into that order at each pass, which for small images costs more than to
    convolve them. A folded ResNet18 takes on one core, in ms an image of 32 px, 3.6 alone and 2.1, 0.74 and
    0.54 in batches of 4, 16 and 32; packed it takes 1.8, 0.8, 0.45 and 0.43.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self._packed: Tensor | None = None

    @property
    def weight(self) -> Tensor:
        """The kernels, whose precision some networks bring an image to first."""
        return self.conv.weight

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to what the convolution makes of it. There is no backward pass."""
        conv, ops = self.conv, torch.ops.mkldnn
        how = conv.padding, conv.stride, conv.dilation, conv.groups
        if self._packed is None:
            weight = conv.weight.contiguous(memory_format=torch.channels_last)
            self._packed = ops._reorder_convolution_weight(weight, *how, [ORDERED_FOR, *x.shape[1:]])
        ordered = x.contiguous(memory_format=torch.channels_last)
        y: Tensor = ops._convolution_pointwise(ordered, self._packed, conv.bias, *how, "none", [], "")
        return y


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
        made[module] = PackedConv2d(conv) if type(conv) is nn.Conv2d and _is_plain(conv) else module
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
