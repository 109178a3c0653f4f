"""Residual networks for 32 x 32 images, of robust checkpoints for CIFAR; none is published by name here."""

from typing import TYPE_CHECKING

from adapters.backbones.constructors import check_arguments
from adapters.backbones.source import BackboneSource
from adapters.declaration import did_you_mean
from adapters.errors import ModelError, about
from adapters.spec import BackboneSpec

if TYPE_CHECKING:
    from torch import nn

NAMES = ("preact_resnet18", "resnet18")


class Cifar(BackboneSource):
    """ResNet-18s of RobustBench, MART, AWP, Rice et al. and Wong et al.: their state dicts load as files."""

    prefix = "cifar/"

    def check(self, spec: BackboneSpec) -> None:
        """Raise ModelError unless it is one of NAMES, and its constructor takes ``spec.kwargs``."""
        kind = _kind(spec)
        if spec.kwargs:
            check_arguments(spec, kind)

    def make(self, spec: BackboneSpec, num_classes: int) -> "nn.Module":
        """The network at random."""
        self.check(spec)
        return _kind(spec)(num_classes=num_classes, **spec.kwargs)


@about("architecture")
def _kind(spec: BackboneSpec) -> "type[nn.Module]":
    from adapters.backbones.cifar_resnets import CifarResNet18, PreActResNet18

    name = spec.architecture.removeprefix(Cifar.prefix)
    if name not in NAMES:
        raise ModelError(
            f"there is no network '{spec.architecture}'; {did_you_mean(name, list(NAMES))}, written"
            " cifar/NAME"
        )
    return PreActResNet18 if name == "preact_resnet18" else CifarResNet18
