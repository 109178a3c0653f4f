"""Backbones: torchvision's and timm's networks, from scratch, pretrained, or from a local file."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from adapters.checkpoints import read_checkpoint
from adapters.errors import ModelError
from adapters.spec import RGB, BackboneSpec
from adapters.strict import did_you_mean
from adapters.weights import load_strictly, save_weights

IMAGENET_MEAN: RGB = (0.485, 0.456, 0.406)
IMAGENET_STD: RGB = (0.229, 0.224, 0.225)
KEEP_HEAD = "take another backbone, or method 'none' with as many classes as this one has"
AUXILIARY = {"googlenet", "inception_v3"}
"""torchvision's networks with further heads in training, and pixels transformed inside where their weights are published."""


@dataclass(frozen=True)
class Normalisation:
    """What is subtracted from each RGB channel of images in [0, 1], and what they are divided by."""

    mean: RGB
    std: RGB


def build_backbone(spec: BackboneSpec, num_classes: int, seed: int) -> nn.Module:
    """A randomly initialised ``spec.architecture`` with ``num_classes`` outputs. Raises ModelError for an unknown name."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _create(spec, pretrained=False, num_classes=num_classes)


def fetch_backbone(spec: BackboneSpec, seed: int) -> tuple[nn.Module, tuple[str, ...]]:
    """The network with the weights that ``spec`` names, downloaded if need be; without any, a random start from ``seed``.

    With it come sentences on how a file was read.
    """
    if spec.weights is None:
        return build_backbone(spec, 1000, seed), ()
    if (file := spec.weights_file) is not None:
        network = build_backbone(spec, 2, 0)
        weights = read_checkpoint(file, network, spec.key, spec.prefix)
        network, _, rounded = _filled(spec, network, weights.state, str(file))
        return network, (*weights.notes, *rounded)
    with _fetching(spec):
        return _create(spec, pretrained=True), ()


def with_weights(spec: BackboneSpec, state: dict[str, Tensor], what: str) -> tuple[nn.Module, int]:
    """``spec.architecture`` with the weights ``state``, which errors call ``what``, and the number of their classes."""
    return _filled(spec, build_backbone(spec, 2, 0), state, what)[:2]


def _filled(
    spec: BackboneSpec, network: nn.Module, state: dict[str, Tensor], what: str
) -> tuple[nn.Module, int, tuple[str, ...]]:
    """``network``, of two classes, or one of as many classes as ``state`` has, with these weights; and what was rounded."""
    classes = _classes(network, state)
    if classes != 2:
        network = build_backbone(spec, classes, 0)
    return network, classes, load_strictly(network, state, what)


def _classes(network: nn.Module, state: dict[str, Tensor]) -> int:
    """How many classes ``state`` has: as many rows as it has where ``network``, which has two classes, has two.

    Whatever the last layer is, and however many there are: nothing is replaced by looking.
    """
    two = {name: tensor for name, tensor in network.state_dict().items() if tensor.shape[:1] == (2,) and name in state}
    found = {
        len(state[name]) for name, tensor in two.items() if state[name].dim() and state[name].shape[1:] == tensor.shape[1:]
    }
    other = found - {0, 2}
    return other.pop() if len(other) == 1 else 2


def _create(spec: BackboneSpec, *, pretrained: bool, **options: Any) -> nn.Module:
    if spec.timm_name is not None:
        import timm

        _timm_config(spec.timm_name)
        network: nn.Module = timm.create_model(spec.timm_name, pretrained=pretrained, **options)
        return network
    _check_torchvision(spec.architecture)
    weights = _torchvision_weights(spec) if pretrained else None
    made: nn.Module = torchvision.models.get_model(spec.architecture, weights=weights, **options)
    return made


def _timm_config(name: str) -> Any:
    """What timm knows of the weights that ``name`` stands for, None if it has none; nothing is downloaded."""
    import timm

    if not timm.is_model(name):
        raise ModelError(f"timm has no model '{name}'; {did_you_mean(name.split('.')[0], timm.list_models())[:200]}")
    try:
        return timm.get_pretrained_cfg(name)
    except RuntimeError:
        architecture, _, tag = name.partition(".")
        known = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
        raise ModelError(f"timm has no weights '{tag}' of {architecture}; known: {', '.join(known) or 'none'}") from None


def _check_torchvision(name: str) -> None:
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise ModelError(f"torchvision has no model '{name}'; {did_you_mean(name, known)}; timm's are written timm/NAME")
    if name in AUXILIARY:
        raise ModelError(f"{name} has auxiliary outputs, which are not supported here; take another, like timm/inception_v3")


def _torchvision_weights(spec: BackboneSpec) -> Any:
    known = torchvision.models.get_model_weights(spec.architecture).__members__
    if spec.weights not in known:
        raise ModelError(f"{spec.architecture} has no weights '{spec.weights}'; known: {', '.join(known)}; or name a file")
    return known[spec.weights]


@contextmanager
def _fetching(spec: BackboneSpec) -> Iterator[None]:
    """A failed download becomes a ModelError that says how to go on without one."""
    if spec.timm_name is not None and spec.weights != "pretrained":
        raise ModelError(f"weights of {spec.architecture} are 'pretrained' or a file, not '{spec.weights}'")
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise ModelError(
            f"the weights {spec.weights} of {spec.architecture} are not on this machine and cannot be downloaded "
            f"({type(error).__name__}: {error}); download them elsewhere and name the file as backbone.weights, "
            "or let the suite train its backbone (backbone.pretrain)"
        ) from None


def published_config(spec: BackboneSpec) -> tuple[Normalisation, int] | None:
    """Normalisation and input size in pixels that the published weights were trained with; None if they are not known.

    timm's names tell them, also of weights in a file. Nothing is known of torchvision's files, nor of a start from scratch.
    """
    if spec.weights is None:
        return None
    if spec.timm_name is not None:
        cfg = _timm_config(spec.timm_name)
        return None if cfg is None else (Normalisation(cfg.mean, cfg.std), int(cfg.input_size[-1]))
    if spec.weights_file:
        return None
    _check_torchvision(spec.architecture)
    preset = _torchvision_weights(spec).transforms()
    return Normalisation(tuple(preset.mean), tuple(preset.std)), int(preset.crop_size[0])


def normalisation(spec: BackboneSpec) -> Normalisation:
    """What ``spec`` says; else what its weights were trained with; else ImageNet's."""
    published = published_config(spec)
    base = published[0] if published else Normalisation(IMAGENET_MEAN, IMAGENET_STD)
    return Normalisation(spec.mean or base.mean, spec.std or base.std)


def input_size(spec: BackboneSpec) -> int | None:
    """The side in pixels that the published weights were trained with, if it is known."""
    published = published_config(spec)
    return published[1] if published else None


def save_backbone(network: nn.Module, file: Path, norm: Normalisation | None = None) -> None:
    """Write the state dict as safetensors, with the normalisation that belongs to the weights where there is one."""
    metadata = {"normalisation": json.dumps(asdict(norm))} if norm else None
    save_weights(network, file, metadata)


def saved_normalisation(data: bytes) -> Normalisation | None:
    """The normalisation written beside the weights in ``data`` (a safetensors file), if any."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    written = header.get("__metadata__", {}).get("normalisation")
    return Normalisation(**{k: tuple(v) for k, v in json.loads(written).items()}) if written else None


def find_head(network: nn.Module) -> tuple[str, nn.Linear]:
    """Name and module of the linear layer that gives the logits. Raises ModelError if there is none, or more than one."""
    within = _classifier(network)
    linear = [(name, m) for name, m in network.named_modules() if isinstance(m, nn.Linear) and (within is None or m in within)]
    if not linear:
        raise ModelError(f"the last layer of this backbone is not linear: its head cannot be replaced; {KEEP_HEAD}")
    last = linear[-1]
    beside = [name for name, module in linear if within is not None and module.out_features == last[1].out_features]
    if len(beside) > 1:
        raise ModelError(f"this backbone has {len(beside)} heads ({', '.join(beside)}), which cannot be replaced; {KEEP_HEAD}")
    return last


def _classifier(network: nn.Module) -> set[nn.Module] | None:
    """The modules that timm calls the classifier of ``network``; None where it is none of timm's."""
    get = getattr(network, "get_classifier", None)
    if get is None:
        return None
    found = get()
    return {module for part in (found if isinstance(found, tuple | list) else [found]) for module in part.modules()}


def replace_head(network: nn.Module, num_classes: int) -> nn.Module:
    """Give ``network`` a new last layer that starts at zero.

    Zero, not random: an adapter on the head then holds all that was learnt, so that the adapter file and the backbone
    file alone give the model back.
    """
    name, old = find_head(network)
    head = nn.Linear(old.in_features, num_classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    network.set_submodule(name, head)
    return network
