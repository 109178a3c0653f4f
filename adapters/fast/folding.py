"""BatchNorm folded into the convolution before it: the same function, one pass over the pixels less."""

import copy
from collections.abc import Iterable

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils.fusion import fuse_conv_bn_weights

from adapters.fast.flow import Pair


@torch.no_grad()
def fold(network: nn.Module, pairs: Iterable[Pair]) -> None:
    """Fold in ``network`` the BatchNorm of each of ``pairs`` into the convolution that it alone reads."""
    for convolution, norm, output in pairs:
        rest = _rest_of(norm, output)
        transposed = isinstance(convolution, _ConvTransposeNd)
        if rest is None or (transposed and convolution.groups > 1):
            continue
        _take_in(convolution, norm, transposed=transposed)
        for name in [
            name for name, module in network.named_modules(remove_duplicate=False) if module is norm
        ]:
            network.set_submodule(name, rest)


def _take_in(convolution: _ConvNd, norm: _BatchNorm, *, transposed: bool) -> None:
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None and var is not None  # noqa: S101, PT018 (a BatchNorm without them is in no pair)
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        convolution.weight,
        convolution.bias,
        mean,
        var,
        norm.eps,
        norm.weight,
        norm.bias,
        transpose=transposed,
    )


def _rest_of(norm: _BatchNorm, x: Tensor) -> nn.Module | None:
    """What ``norm`` does after BatchNorm on ``x``: nothing, or, as in timm's, what it holds; else None."""
    if norm.training or norm.running_mean is None:
        return None
    bare = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps)
    wanted, held = norm(x), nn.Sequential(*copy.deepcopy(list(norm.children())))
    rest = nn.Identity() if not len(held) else held
    return rest if torch.equal(rest(bare.clone()), wanted) else None
