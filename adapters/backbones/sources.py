"""The registry of backbone sources: who makes the network that an ``architecture`` names."""

from functools import cache
from importlib.metadata import entry_points

from adapters.backbones.from_cifar import Cifar
from adapters.backbones.from_code import FromCode
from adapters.backbones.from_frozen import Onnx, Onnx2Torch, TorchScript
from adapters.backbones.from_timm import Timm
from adapters.backbones.from_torchvision import Torchvision
from adapters.backbones.from_transformers import Transformers
from adapters.backbones.source import BackboneSource
from adapters.spec import BackboneSpec

BUILT_IN: tuple[BackboneSource, ...] = (
    Timm(),
    Transformers(),
    TorchScript(),
    Onnx(),
    Onnx2Torch(),
    FromCode(),
    Cifar(),
    Torchvision(),  # last: its names have no prefix
)
GROUP = "bench.backbone_sources"
"""The entry points by which installed packages add theirs, each a subclass of BackboneSource."""


@cache
def sources() -> tuple[BackboneSource, ...]:
    """All sources: those of packages, by the names of their entry points, before ours."""
    return (*(entry.load()() for entry in sorted(entry_points(group=GROUP))), *BUILT_IN)


def source_of(spec: BackboneSpec) -> BackboneSource:
    """The source of the network of ``spec``."""
    return next(source for source in sources() if source.takes(spec.architecture))


def has_weights(spec: BackboneSpec) -> bool:
    """Whether the network of ``spec`` is trained already: by named weights, or by those its source brings."""
    return spec.weights is not None or source_of(spec).brings_weights(spec)


def side_inside(spec: BackboneSpec, images: int) -> int | None:
    """The side in pixels to which the network of ``spec`` has images of ``images`` pixels scaled.

    None if it takes those.
    """
    wanted = spec.input_size or source_of(spec).fixed_size(spec)
    return None if wanted == images else wanted
