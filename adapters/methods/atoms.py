"""Filter atoms: a convolution's spatial filters as coefficients x atoms, of which only the atoms are tuned.

The weight (out, in, k, k) is the product of fixed coefficients (out * in, k * k) and k * k atoms, each a k x
k filter, as in DCFNet (Qiu et al. 2018) and filter-subspace tuning (Chen et al. 2024). The singular value
decomposition gives both.
"""

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

ATOMS = ".atoms"
"""How the name of a tuned atom parameter ends."""


class AtomConv2d(nn.Module):
    """A convolution of weight ``coefficients @ atoms``, made from ``layer`` and equal to it to rounding."""

    coefficients: Tensor

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer
        self.shape = layer.weight.shape
        weight = layer.weight.detach()
        u, s, atoms = torch.linalg.svd(weight.flatten(2).flatten(0, 1).double(), full_matrices=False)
        self.register_buffer("coefficients", (u * s).to(weight.dtype))
        self.atoms = nn.Parameter(atoms.to(weight.dtype), requires_grad=layer.weight.requires_grad)
        del layer.weight

    def weight(self) -> Tensor:
        """The filters, (out, in, k, k)."""
        return (self.coefficients @ self.atoms).view(self.shape)

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of ``x`` with the filters."""
        conv = self.layer
        return F.conv2d(x, self.weight(), conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups)


def split_into_atoms(network: nn.Module) -> nn.Module:
    """Replace spatial, zero-padded convolutions of ``network`` by atoms: the same function to rounding."""
    split: dict[nn.Module, AtomConv2d] = {}
    for name, module in list(
        network.named_modules(remove_duplicate=False)
    ):  # one layer may stand in several places
        if isinstance(module, nn.Conv2d) and (module in split or _is_spatial(module)):
            network.set_submodule(name, split.get(module) or split.setdefault(module, AtomConv2d(module)))
    return network


def _is_spatial(layer: nn.Conv2d) -> bool:
    return layer.weight[0, 0].numel() > 1 and layer.padding_mode == "zeros"


def join_atoms(network: nn.Module) -> nn.Module:
    """``network`` with its atoms multiplied out into plain convolutions."""
    for name, module in list(network.named_modules(remove_duplicate=False)):
        if isinstance(module, AtomConv2d):
            if not hasattr(module.layer, "weight"):
                module.layer.weight = nn.Parameter(module.weight().detach())
            network.set_submodule(name, module.layer)
    return network
