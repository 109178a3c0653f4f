"""timm's networks, written timm/NAME, and what is known of their published weights.

Nothing is downloaded but by ``fetch``.
"""

import math
from typing import TYPE_CHECKING, Any

from adapters.backbones.constructors import check_arguments
from adapters.backbones.source import A_FILE, BackboneSource, given_size
from adapters.declaration import did_you_mean
from adapters.errors import ModelError, about
from adapters.preprocessing import Preprocessing
from adapters.spec import BackboneSpec

if TYPE_CHECKING:
    from torch import nn


class Timm(BackboneSource):
    """A name with a tag ("timm/resnet18.a1_in1k") stands for weights too, which are called "pretrained"."""

    prefix = "timm/"

    def check(self, spec: BackboneSpec) -> None:
        """Raise ModelError unless timm has that network, and its constructor takes ``spec.kwargs``."""
        if spec.kwargs:
            self._config(spec)
            check_arguments(spec, lambda **options: _create(spec, pretrained=False, **options))

    def make(self, spec: BackboneSpec, num_classes: int) -> "nn.Module":
        """The network at random."""
        self.check(spec)
        self._config(spec)
        return _create(spec, pretrained=False, num_classes=num_classes, **spec.kwargs)

    @about("weights")
    def fetch(self, spec: BackboneSpec) -> "nn.Module":
        """The network with the weights of its tag, or its default ones."""
        if spec.weights != "pretrained":
            raise ModelError(
                f"weights of {spec.architecture} are 'pretrained' or {A_FILE}, not '{spec.weights}'"
            )
        self.check(spec)
        self._config(spec)
        return _create(spec, pretrained=True, **spec.kwargs)

    def check_random(self, spec: BackboneSpec) -> None:
        """Raise ModelError for a name with a tag: that stands for weights."""
        if "." in _name(spec):
            raise ModelError(
                f"{spec.architecture} names weights, but would start at random; add 'weights: pretrained', or"
                f" take '{spec.architecture.partition('.')[0]}' for a random start"
            )

    def published(self, spec: BackboneSpec) -> Preprocessing | None:
        """What timm says of the weights."""
        cfg = self._config(spec)
        return None if cfg is None else _expected(cfg)

    def of_architecture(self, spec: BackboneSpec) -> Preprocessing | None:
        """What timm says of the weights that the name stands for.

        A tag stands for weights, of which the file is then one form. Of a plain name only what cannot be
        otherwise is taken beside the normalisation: the size of a network that takes no other.
        """
        cfg = self._config(spec)
        if cfg is None:
            return None
        known = _expected(cfg)
        if "." in _name(spec):
            return Preprocessing(
                known.mean, known.std, "architecture", known.size, known.resize, known.interpolation
            )
        return Preprocessing(
            known.mean, known.std, "architecture", known.size if cfg.fixed_input_size else None
        )

    def fixed_size(self, spec: BackboneSpec) -> int | None:
        """The size that the arguments give, or that of a network which timm says takes no other."""
        cfg = self._config(spec)
        if spec.kwargs.get("dynamic_img_size") or spec.kwargs.get("strict_img_size") is False:
            return None
        return given_size(spec) or (
            int(cfg.input_size[-1]) if cfg is not None and cfg.fixed_input_size else None
        )

    @about("architecture")
    def _config(self, spec: BackboneSpec) -> Any:
        """What timm knows of the weights of that name, None if it has none.

        Raises ModelError for an unknown name.
        """
        import timm

        name = _name(spec)
        if not timm.is_model(name):
            raise ModelError(
                f"timm has no model '{name}'; {did_you_mean(name.split('.')[0], timm.list_models())[:200]}"
            )
        try:
            return timm.get_pretrained_cfg(name)
        except RuntimeError:
            architecture, _, tag = name.partition(".")
            known = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
            raise ModelError(
                f"timm has no weights '{tag}' of {architecture}; known: {', '.join(known) or 'none'}"
            ) from None


def _name(spec: BackboneSpec) -> str:
    return spec.architecture.removeprefix(Timm.prefix)


def _create(spec: BackboneSpec, **options: Any) -> "nn.Module":
    import timm

    network: nn.Module = timm.create_model(_name(spec), **options)
    return network


def _expected(cfg: Any) -> Preprocessing:
    size = int(cfg.input_size[-1])
    resize = math.floor(size / cfg.crop_pct)
    return Preprocessing(tuple(cfg.mean), tuple(cfg.std), "weights", size, resize, cfg.interpolation)
