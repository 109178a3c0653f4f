"""BatchNorms of torchvision's and timm's convolutional networks, by family, before and after folding.

``python -m tests.benchmarks.folding [PATTERN...]`` prints a line for each network whose pairs are not all
folded, or whose logits change, and the share that is. Weights are random; a pair is a BatchNorm that is given
what a convolution's module has returned.
"""

import argparse
import fnmatch
import logging
from collections.abc import Iterator
from dataclasses import dataclass

import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from adapters.classifier import Classifier
from adapters.fast.lossless import TOLERANCE, lossless, max_difference

MOST = 30_000_000
"""Parameters of the largest network that is tried: a family's larger ones are built of the same layers."""
SIDES = (64, 128, 224)
"""In pixels: the first that a network takes."""
OTHERS = (
    "vit",
    "deit",
    "swin",
    "beit",
    "cait",
    "eva",
    "xcit",
    "mixer",
    "gmlp",
    "resmlp",
    "coat",
    "twins",
    "pit_",
    "tnt",
    "naflex",
)
"""Families without convolutions but for patches."""


@dataclass(frozen=True)
class Counted:
    """BatchNorms in a network that read a convolution; how many are left; its logits' relative change."""

    name: str
    pairs: int
    left: int
    difference: float
    said: str


def names() -> list[str]:
    """Of each module of timm, and of torchvision's, the convolutional networks that are small enough: at
    most four of each."""
    found = [
        f"timm/{name}"
        for module in timm.list_modules()
        for name in _smallest(timm.list_models(module=module))
    ]
    return [
        f"torchvision/{name}" for name in torchvision.models.list_models(module=torchvision.models)
    ] + found


def _smallest(models: list[str]) -> list[str]:
    usable = [name for name in models if not any(other in name for other in OTHERS)]
    return sorted(usable, key=len)[:4]


def build(name: str) -> nn.Module | None:
    """The network of that name with random weights and running statistics; None if it has no BatchNorm, or
    is too large."""
    library, _, architecture = name.partition("/")
    if _parameters(library, architecture) > MOST:
        return None
    torch.manual_seed(0)
    network = _made(library, architecture).eval()
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.8, 1.2)
    return network if norms else None


def _parameters(library: str, architecture: str) -> int:
    if library == "torchvision":
        return int(next(iter(torchvision.models.get_model_weights(architecture))).meta["num_params"])
    with torch.device("meta"):
        return sum(p.numel() for p in _made(library, architecture).parameters())


def _made(library: str, architecture: str) -> nn.Module:
    network: nn.Module
    if library == "timm":
        network = timm.create_model(architecture, num_classes=10)
    else:
        network = torchvision.models.get_model(architecture, weights=None, num_classes=10)
    return network


def count(name: str, network: nn.Module) -> Counted | None:
    """What becomes of ``network``; None if it takes images of no size that is tried."""
    for side in SIDES:
        x = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
        try:
            pairs = pairs_of(network, x)
        except Exception:  # noqa: BLE001, S112 (it is made for another size)
            continue
        plain = (
            Classifier(network, mean=[0.5] * 3, std=[0.5] * 3, num_classes=10).eval().requires_grad_(False)
        )
        said = _Kept()
        logging.getLogger("adapters.fast.lossless").addHandler(said)
        try:
            form = lossless(plain, x)
        finally:
            logging.getLogger("adapters.fast.lossless").removeHandler(said)
        kept = {n for n, module in form.network.named_modules() if isinstance(module, _BatchNorm)}
        return Counted(
            name, len(pairs), len(pairs & kept), max_difference(plain, form, x), "; ".join(said.lines)
        )
    return None


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@torch.no_grad()
def pairs_of(network: nn.Module, x: Tensor) -> set[str]:
    """The names of the BatchNorms that are given, by identity, what a convolution has just returned."""
    returned: list[Tensor] = []
    found: set[str] = set()
    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, _ConvNd):
            hooks.append(module.register_forward_hook(lambda _, __, out: returned.append(out)))
        elif isinstance(module, _BatchNorm):

            def note(_: nn.Module, given: tuple[Tensor, ...], name: str = name) -> None:
                if any(given[0] is out for out in returned):
                    found.add(name)

            hooks.append(module.register_forward_pre_hook(note))
    try:
        network(x)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def counted(patterns: list[str]) -> Iterator[Counted]:
    """Every network whose name matches one of ``patterns``."""
    for name in names():
        if any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
            network = build(name)
            found = count(name, network) if network is not None else None
            if found is not None and found.pairs:
                yield found


def main() -> None:
    """Print what is not folded, and the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("patterns", nargs="*", default=["*"])
    torch.set_num_threads(1)
    found = []
    for one in counted(parser.parse_args().patterns):
        found.append(one)
        if one.left or one.difference > TOLERANCE or one.said:
            print(
                f"{one.name}: {one.left} of {one.pairs} left, logits differ by {one.difference:.1e}"
                f" {one.said}",
                flush=True,
            )
    pairs, left = sum(one.pairs for one in found), sum(one.left for one in found)
    exact = sum(one.difference <= TOLERANCE for one in found)
    print(
        f"{len(found)} networks: {pairs - left} of {pairs} pairs folded"
        f" ({100 * (1 - left / max(pairs, 1)):.2f} %)"
    )
    print(f"{exact} of {len(found)} within {TOLERANCE:.0e} of their logits, relatively")


if __name__ == "__main__":
    main()
