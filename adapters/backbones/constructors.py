"""Arguments that a suite gives to a network's constructor: only names that it has, only plain values."""

import inspect
import json
from collections.abc import Callable
from functools import cache

import torch
from torch import nn

from adapters.backbones.published import check_torchvision, timm_config
from adapters.declaration import did_you_mean
from adapters.errors import ModelError, about
from adapters.spec import BackboneSpec

RESERVED = {
    "num_classes": "it follows the weights, or the data",
    "in_chans": "images have three channels here",
    **dict.fromkeys(("pretrained", "weights", "weights_backbone", "checkpoint_path", "cache_dir"), "give backbone.weights"),
    **dict.fromkeys(("pretrained_cfg", "pretrained_cfg_overlay"), "give backbone.weights, mean and std"),
    **dict.fromkeys(("features_only", "out_indices", "scriptable", "exportable", "no_jit", "progress"), "it is not for this"),
}
"""Arguments that are no part of a network, or that something else decides."""


def make_network(spec: BackboneSpec, num_classes: int) -> nn.Module:
    """The network of ``spec`` without weights. Raises ModelError for an unknown name, or an argument that it does not take."""
    check_arguments(spec)
    return _maker(spec.architecture)(num_classes=num_classes, **spec.kwargs)


@about("kwargs")
def check_arguments(spec: BackboneSpec) -> None:
    """Raise ModelError unless the constructor of ``spec.architecture`` takes ``spec.kwargs``."""
    if spec.kwargs:
        _check(spec.architecture, json.dumps(spec.kwargs))


@cache
def _check(architecture: str, written: str) -> None:
    """Makes the network once. What a constructor swallows in silence is no argument of it either."""
    kwargs, make = json.loads(written), _maker(architecture)
    for name in kwargs:
        if name in RESERVED:
            raise ModelError(f"kwargs: {architecture} is not given '{name}' here: {RESERVED[name]}")
    with torch.random.fork_rng(devices=[]):
        try:
            kind = type(make(num_classes=2, **kwargs))
        except Exception as error:  # noqa: BLE001 (constructors fail in every way)
            _name_unknown(architecture, list(kwargs), type(make(num_classes=2)))
            raise ModelError(f"kwargs: {architecture} cannot be made with {written} ({error})") from None
    _name_unknown(architecture, list(kwargs), kind)


def _name_unknown(architecture: str, given: list[str], kind: type) -> None:
    known = sorted(_arguments(kind) - RESERVED.keys())
    for name in given:
        if name not in known:
            raise ModelError(f"kwargs: {architecture} has no argument '{name}'; {did_you_mean(name, known)}")


def _arguments(kind: type) -> set[str]:
    """The names that the constructor of ``kind`` takes, and those it passes on to the constructors that it inherits."""
    found: set[str] = set()
    for one in kind.__mro__:
        if "__init__" in vars(one):
            parameters = inspect.signature(one.__init__).parameters.values()  # type: ignore[misc]
            found |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
            if not any(p.kind == p.VAR_KEYWORD for p in parameters):
                break
    return found - {"self"}


def _maker(architecture: str) -> Callable[..., nn.Module]:
    """What makes a network of that name, without weights."""
    timm_name = BackboneSpec(architecture=architecture).timm_name
    if timm_name is not None:
        import timm

        timm_config(timm_name)
        return lambda **options: timm.create_model(timm_name, pretrained=False, **options)
    import torchvision

    check_torchvision(architecture)
    return lambda **options: torchvision.models.get_model(architecture, weights=None, **options)
