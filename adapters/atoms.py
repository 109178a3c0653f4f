"""Filter atoms: a convolution's spatial filters as coefficients x atoms, of which only the atoms are tuned.

The weight (out, in, k, k) is the product of fixed coefficients (out * in, k * k) and k * k atoms, each a k x k filter, as in
DCFNet (Qiu et al. 2018) and filter-subspace tuning (Chen et al. 2024). The singular value decomposition gives both.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

ATOMS = "parametrizations.weight.original"
"""How the name of a tuned atom parameter ends."""


class FilterAtoms(nn.Module):
    """Atoms (k * k, k * k) -> weight (out, in, k, k)."""

    coefficients: Tensor

    def __init__(self, coefficients: Tensor, shape: torch.Size) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("coefficients", coefficients)

    def forward(self, atoms: Tensor) -> Tensor:
        """The filters that ``atoms`` make."""
        return (self.coefficients @ atoms).view(self.shape)


def split_into_atoms(network: nn.Module) -> nn.Module:
    """Parametrise every spatial convolution of ``network`` by its atoms: the same function, to rounding."""
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d) and module.weight[0, 0].numel() > 1:
            _split(module)
    return network


def _split(layer: nn.Conv2d) -> None:
    weight = layer.weight.detach()
    u, s, atoms = torch.linalg.svd(weight.flatten(2).flatten(0, 1).double(), full_matrices=False)
    layer.weight = nn.Parameter(atoms.to(weight.dtype), requires_grad=layer.weight.requires_grad)
    parametrize.register_parametrization(layer, "weight", FilterAtoms((u * s).to(weight.dtype), weight.shape), unsafe=True)


def join_atoms(network: nn.Module) -> nn.Module:
    """``network`` with its atoms multiplied out into plain weights."""
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d) and parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
    return network
