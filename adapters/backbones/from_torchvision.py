"""torchvision's networks, by their names alone, and what is known of their published weights."""

from typing import TYPE_CHECKING, Any

from adapters.backbones.constructors import check_arguments
from adapters.backbones.source import A_FILE, BackboneSource, given_size
from adapters.declaration import did_you_mean
from adapters.errors import ModelError, about
from adapters.preprocessing import Preprocessing
from adapters.spec import BackboneSpec

if TYPE_CHECKING:
    from torch import nn

AUXILIARY = {"googlenet", "inception_v3"}
"""Networks with further heads in training, and pixels transformed inside if their weights are published."""

VIT_SIZE = 224
"""By default."""


class Torchvision(BackboneSource):
    """Every name that no other source takes."""

    prefix = ""

    def check(self, spec: BackboneSpec) -> None:
        """Raise ModelError unless torchvision has that classifier and it can be made with ``spec.kwargs``."""
        if spec.kwargs:
            _check_name(spec.architecture)
            check_arguments(spec, lambda **options: _get(spec, None, **options))

    def make(self, spec: BackboneSpec, num_classes: int) -> "nn.Module":
        """The network at random."""
        self.check(spec)
        _check_name(spec.architecture)
        return _get(spec, None, num_classes=num_classes, **spec.kwargs)

    def fetch(self, spec: BackboneSpec) -> "nn.Module":
        """The network with published weights."""
        self.check(spec)
        return _get(spec, _weights(spec), **spec.kwargs)

    def published(self, spec: BackboneSpec) -> Preprocessing | None:
        """What the weights' own transforms say."""
        preset = _weights(spec).transforms()
        size, resize = int(preset.crop_size[0]), int(preset.resize_size[0])
        return Preprocessing(
            tuple(preset.mean), tuple(preset.std), "weights", size, resize, preset.interpolation.value
        )

    def fixed_size(self, spec: BackboneSpec) -> int | None:
        """The size that the arguments give; vision transformers take one alone."""
        return given_size(spec) or (VIT_SIZE if spec.architecture.startswith("vit_") else None)

    def classes(self, spec: BackboneSpec) -> tuple[str, ...]:
        """The categories of the weights."""
        return tuple(_weights(spec).meta["categories"])


@about("architecture")
def _check_name(name: str) -> None:
    """Raise ModelError unless ``name`` is one of torchvision's classifiers that can be used here."""
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise ModelError(
            f"torchvision has no model '{name}'; {did_you_mean(name, known)}; timm's are written timm/NAME"
        )
    if name in AUXILIARY:
        raise ModelError(
            f"{name} has auxiliary outputs, which are not supported here; take another, like"
            " timm/inception_v3"
        )


@about("weights")
def _weights(spec: BackboneSpec) -> Any:
    """The entry in torchvision of the weights that ``spec`` names. Raises ModelError if there is none."""
    import torchvision

    _check_name(spec.architecture)
    known = torchvision.models.get_model_weights(spec.architecture).__members__
    if spec.weights not in known:
        raise ModelError(
            f"{spec.architecture} has no weights '{spec.weights}'; known: {', '.join(known)}; or name"
            f" {A_FILE}"
        )
    return known[spec.weights]


def _get(spec: BackboneSpec, weights: Any, **options: Any) -> "nn.Module":
    import torchvision

    network: nn.Module = torchvision.models.get_model(spec.architecture, weights=weights, **options)
    return network
