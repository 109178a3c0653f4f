"""The names that weights give their classes themselves, in the order of the network's outputs."""

import json
from pathlib import Path
from typing import Any

from adapters.backbones.numbered import numbered
from adapters.backbones.sources import has_weights, source_of
from adapters.backbones.weights import read_saved
from adapters.spec import BackboneSpec

LISTS = ("classes", "class_names", "label_names", "names", "categories")
NUMBERED = ("class_to_idx", "label2id", "idx_to_class", "id2label")
"""What training scripts, torchvision's ImageFolder, timm and transformers call them."""

LISTED = 40
"""Classes of which the whole order is said."""


def note_on_classes(spec: BackboneSpec, classes: tuple[str, ...]) -> tuple[str, ...]:
    """What to say if the weights of ``spec`` know the same ``classes`` as the data, in another order."""
    own = () if spec.classes is not None else own_classes(spec)
    if own == classes or sorted(own) != sorted(classes):
        return ()
    i = next(i for i, names in enumerate(zip(own, classes, strict=True)) if names[0] != names[1])
    listed = json.dumps(own, ensure_ascii=False) if len(own) <= LISTED else f"all {len(own)} in that order"
    return (
        (
            f"the weights name their classes in another order (label {i} is '{own[i]}' there): give classes:"
            f" {listed}"
        ),
    )


def own_classes(spec: BackboneSpec) -> tuple[str, ...]:
    """The names of the classes; empty where the weights have none."""
    if not has_weights(spec):
        return ()
    if (file := spec.weights_file) is not None:
        return _listed_in(_beside(file)) or (
            () if file.suffix == ".safetensors" else _listed_in(read_saved(file))
        )
    return source_of(spec).classes(spec)


def _beside(file: Path) -> Any:
    """What the config.json of timm or transformers beside ``file`` says, if there is one."""
    try:
        return json.loads((file.parent / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _listed_in(saved: Any) -> tuple[str, ...]:
    """The names in the entry of ``saved`` that is a list of all its classes."""
    if not isinstance(saved, dict):
        return ()
    for key in LISTS:
        names = saved.get(key)
        if (
            isinstance(names, list | tuple)
            and len(names) > 1
            and all(isinstance(name, str) for name in names)
        ):
            return tuple(names)
    return next((found for key in NUMBERED if (found := numbered(saved.get(key)))), ())
