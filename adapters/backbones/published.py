"""What is known of networks and their published weights by name alone. Nothing is downloaded."""

import math
from typing import Any

import torchvision

from adapters.declaration import did_you_mean
from adapters.errors import ModelError, about
from adapters.preprocessing import Preprocessing
from adapters.spec import WEIGHT_FILES, BackboneSpec

AUXILIARY = {"googlenet", "inception_v3"}
"""torchvision's networks with further heads in training, and pixels transformed inside where their weights are published."""


@about("architecture")
def timm_config(name: str) -> Any:
    """What timm knows of the weights that ``name`` stands for, None if it has none. Raises ModelError for an unknown name."""
    import timm

    if not timm.is_model(name):
        raise ModelError(f"timm has no model '{name}'; {did_you_mean(name.split('.')[0], timm.list_models())[:200]}")
    try:
        return timm.get_pretrained_cfg(name)
    except RuntimeError:
        architecture, _, tag = name.partition(".")
        known = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
        raise ModelError(f"timm has no weights '{tag}' of {architecture}; known: {', '.join(known) or 'none'}") from None


@about("architecture")
def check_torchvision(name: str) -> None:
    """Raise ModelError unless ``name`` is one of torchvision's classifiers that can be used here."""
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise ModelError(f"torchvision has no model '{name}'; {did_you_mean(name, known)}; timm's are written timm/NAME")
    if name in AUXILIARY:
        raise ModelError(f"{name} has auxiliary outputs, which are not supported here; take another, like timm/inception_v3")


@about("weights")
def torchvision_weights(spec: BackboneSpec) -> Any:
    """Torchvision's entry of the weights that ``spec`` names. Raises ModelError if there is none."""
    check_torchvision(spec.architecture)
    known = torchvision.models.get_model_weights(spec.architecture).__members__
    if spec.weights not in known:
        files = f"a file, which ends in {', '.join(WEIGHT_FILES)}"
        raise ModelError(f"{spec.architecture} has no weights '{spec.weights}'; known: {', '.join(known)}; or name {files}")
    return known[spec.weights]


def published(spec: BackboneSpec) -> Preprocessing | None:
    """What the published weights that ``spec`` names expect of an image; None if it is not known."""
    if spec.timm_name is not None:
        cfg = timm_config(spec.timm_name)
        return None if cfg is None else _of_timm(cfg)
    preset = torchvision_weights(spec).transforms()
    size, resize = int(preset.crop_size[0]), int(preset.resize_size[0])
    return Preprocessing(tuple(preset.mean), tuple(preset.std), "weights", size, resize, preset.interpolation.value)


def of_architecture(spec: BackboneSpec) -> Preprocessing | None:
    """What goes with the name of timm's under which ``spec`` has a file of its own; None if nothing does.

    A tag stands for weights, of which the file is then one form. Of a plain name only what cannot be otherwise is taken beside
    the normalisation: the size of a network that takes no other.
    """
    cfg = timm_config(spec.timm_name) if spec.timm_name is not None else None
    if cfg is None:
        return None
    known = _of_timm(cfg)
    if "." in (spec.timm_name or ""):
        return Preprocessing(known.mean, known.std, "architecture", known.size, known.resize, known.interpolation)
    return Preprocessing(known.mean, known.std, "architecture", known.size if cfg.fixed_input_size else None)


def _of_timm(cfg: Any) -> Preprocessing:
    size = int(cfg.input_size[-1])
    resize = math.floor(size / cfg.crop_pct)
    return Preprocessing(tuple(cfg.mean), tuple(cfg.std), "weights", size, resize, cfg.interpolation)
