"""Arguments that a suite gives to a network's constructor: only names that it has, only plain values."""

import inspect
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from adapters.declaration import did_you_mean
from adapters.errors import ModelError, about
from adapters.spec import BackboneSpec

if TYPE_CHECKING:
    from torch import nn

RESERVED = {
    "num_classes": "it follows the weights, or the data",
    "in_chans": "images have three channels here",
    **dict.fromkeys(
        ("pretrained", "weights", "weights_backbone", "checkpoint_path", "cache_dir"), "give backbone.weights"
    ),
    **dict.fromkeys(("pretrained_cfg", "pretrained_cfg_overlay"), "give backbone.weights, mean and std"),
    **dict.fromkeys(
        ("features_only", "out_indices", "scriptable", "exportable", "no_jit", "progress"),
        "it does not apply here",
    ),
}
"""Arguments that are no part of a network, or that something else decides."""
_known_to_fit: set[tuple[str, str]] = set()


@about("kwargs")
def check_arguments(spec: BackboneSpec, make: "Callable[..., nn.Module]") -> None:
    """Raise ModelError unless ``make`` takes ``spec.kwargs``.

    What it swallows in silence is no argument of it either. The network is made, once for each architecture
    and kwargs in this process.
    """
    written = json.dumps(spec.kwargs)
    if (spec.architecture, written) not in _known_to_fit:
        _check(spec, written, make)
        _known_to_fit.add((spec.architecture, written))


def _check(spec: BackboneSpec, written: str, make: "Callable[..., nn.Module]") -> None:
    import torch

    for name in spec.kwargs:
        if name in RESERVED:
            raise ModelError(f"kwargs: '{name}' of {spec.architecture} cannot be set here: {RESERVED[name]}")
    with torch.random.fork_rng(devices=[]):
        try:
            kind = type(make(num_classes=2, **spec.kwargs))
        except Exception as error:  # noqa: BLE001 (constructors fail in every way)
            _name_unknown(spec, type(make(num_classes=2)))
            raise ModelError(f"kwargs: {spec.architecture} cannot be made with {written} ({error})") from None
    _name_unknown(spec, kind)


def _name_unknown(spec: BackboneSpec, kind: type) -> None:
    known = sorted(arguments(kind) - RESERVED.keys())
    for name in spec.kwargs:
        if name not in known:
            raise ModelError(
                f"kwargs: {spec.architecture} has no argument '{name}'; {did_you_mean(name, known)}"
            )


def arguments(kind: type) -> set[str]:
    """The names that ``kind``'s constructor takes, and those it passes on to the constructors it inherits."""
    found: set[str] = set()
    for one in kind.__mro__:
        if "__init__" in vars(one):
            parameters = inspect.signature(one.__init__).parameters.values()  # type: ignore[misc]
            found |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
            if not any(p.kind == p.VAR_KEYWORD for p in parameters):
                break
    return found - {"self"}
