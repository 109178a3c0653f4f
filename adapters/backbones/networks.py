"""Backbones: the networks of every source, from scratch, pretrained, or with weights from a file."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from adapters.backbones.checkpoints import read_checkpoint
from adapters.backbones.source import given_size
from adapters.backbones.sources import has_weights, source_of
from adapters.backbones.weights import load_strictly, save_weights
from adapters.errors import ModelError, about, within
from adapters.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, from_metadata, to_metadata
from adapters.spec import BackboneSpec

KEEP_HEAD = "take another backbone, or method 'none' with as many classes as this one has"
LONGEST_HEADER = 2**27
"""Bytes of a safetensors header; the format allows no more."""


def build_backbone(spec: BackboneSpec, num_classes: int, seed: int) -> nn.Module:
    """The network of ``spec`` with ``num_classes`` outputs, at a start from ``seed``.

    Raises ModelError if there is none.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return source_of(spec).make(spec, num_classes)


@about("weights")
def fetch_backbone(spec: BackboneSpec, seed: int) -> tuple[nn.Module, tuple[str, ...]]:
    """The network with ``spec``'s weights, downloaded if need be; without any, a random start from ``seed``.

    With it come sentences on how a file was read.
    """
    if spec.weights is None:
        return build_backbone(spec, 1000, seed), source_of(spec).notes(spec)
    if (file := spec.weights_file) is not None:
        network = build_backbone(spec, 2, 0)
        weights = read_checkpoint(file, network, spec.key, spec.prefix)
        network, _, rounded = _filled(spec, network, weights.state, str(file))
        return network, (*weights.notes, *rounded)
    with _fetching(spec):
        return source_of(spec).fetch(spec), ()


@about("weights")
def with_weights(spec: BackboneSpec, state: dict[str, Tensor], what: str) -> tuple[nn.Module, int | None]:
    """``spec.architecture`` with the weights ``state`` (in errors ``what``), and the number of their classes.

    None where only the network itself knows: it has classes of its own.
    """
    return _filled(spec, build_backbone(spec, 2, 0), state, what)[:2]


def _filled(
    spec: BackboneSpec, network: nn.Module, state: dict[str, Tensor], what: str
) -> tuple[nn.Module, int | None, tuple[str, ...]]:
    """``network``, of two classes, or one of as many as ``state``, with its weights; and what was rounded."""
    if source_of(spec).has_own_classes(spec):
        network = _with_rows(network, state)
        return network, None, load_strictly(network, state, what)
    classes = _classes(network, state)
    if classes != 2:
        network = build_backbone(spec, classes, 0)
    return network, classes, load_strictly(network, state, what)


def _with_rows(network: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    """``network`` with another head where ``state`` has one of other classes: it has been trained since."""
    try:
        name, head = find_head(network)
    except ModelError:  # nor can it have been replaced
        return network
    weight = state.get(f"{name}.weight", head.weight)
    return network if len(weight) == head.out_features else replace_head(network, len(weight))


def _classes(network: nn.Module, state: dict[str, Tensor]) -> int:
    """How many classes ``state`` has: as many as its rows where ``network``, which has two classes, has two.

    Whatever the last layer is, and however many there are: nothing is replaced by looking.
    """
    two = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if tensor.shape[:1] == (2,) and name in state
    }
    found = {
        len(state[name])
        for name, tensor in two.items()
        if state[name].dim() and state[name].shape[1:] == tensor.shape[1:]
    }
    other = found - {0, 2}
    return other.pop() if len(other) == 1 else 2


@contextmanager
def _fetching(spec: BackboneSpec) -> Iterator[None]:
    """A failed download becomes a ModelError that says how to go on without one."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        if spec.kwargs and ("size mismatch" in str(error) or isinstance(error, ValueError)):
            raise ModelError(
                f"the weights {spec.weights} of {spec.architecture} do not fit its kwargs: {error}"
            ) from None
        raise ModelError(
            f"the weights {spec.weights} of {spec.architecture} are not on this machine and cannot be"
            f" downloaded ({type(error).__name__}: {error}); download them elsewhere and name the file as"
            " backbone.weights, or let the suite train its backbone (backbone.pretrain)"
        ) from None


def preprocessing_of(spec: BackboneSpec) -> Preprocessing:
    """What the network of ``spec`` expects of an image, where nothing is trained here first.

    It is what ``spec`` says; else what belongs to its weights; else ImageNet's. A random start learns with it
    whatever it is.
    """
    known = _of_weights(spec) or Preprocessing(
        IMAGENET_MEAN, IMAGENET_STD, "assumed" if has_weights(spec) else "training"
    )
    mean, std = spec.mean or known.mean, spec.std or known.std
    said = (spec.mean and spec.std) or ((spec.mean or spec.std) and known.origin in ("weights", "training"))
    return replace(known, mean=mean, std=std, origin="suite" if said else known.origin).at(given_size(spec))


def _of_weights(spec: BackboneSpec) -> Preprocessing | None:
    if not has_weights(spec):
        return None
    source = source_of(spec)
    if spec.weights_file is not None:
        return saved_preprocessing(_header(spec.weights_file)) or source.of_architecture(spec)
    return source.published(spec)


def save_backbone(network: nn.Module, file: Path, expects: Preprocessing) -> None:
    """Write the state dict as safetensors, with what it expects of an image."""
    save_weights(network, file, to_metadata(expects))


def saved_preprocessing(data: bytes) -> Preprocessing | None:
    """What stands beside the weights in ``data`` (a safetensors file or its beginning); None if nothing."""
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return from_metadata(header.get("__metadata__", {}))
    except (ValueError, AttributeError):
        return None


def _header(file: Path) -> bytes:
    """The beginning of ``file``, if it is a safetensors file: as much as its header is said to be long."""
    if file.suffix != ".safetensors" or not file.is_file():
        return b""
    with file.open("rb") as stream:
        length = stream.read(8)
        return length + stream.read(min(int.from_bytes(length, "little"), LONGEST_HEADER))


def find_head(network: nn.Module) -> tuple[str, nn.Linear]:
    """Name and module of the linear layer that gives the logits.

    Raises ModelError if there is none, or more than one.
    """
    within = _classifier(network)
    linear = [
        (name, m)
        for name, m in network.named_modules()
        if isinstance(m, nn.Linear) and (within is None or m in within)
    ]
    if not linear:
        raise ModelError(
            f"the last layer of this backbone is not linear: its head cannot be replaced; {KEEP_HEAD}"
        )
    last = linear[-1]
    beside = [
        name for name, module in linear if within is not None and module.out_features == last[1].out_features
    ]
    if len(beside) > 1:
        raise ModelError(
            f"this backbone has {len(beside)} heads ({', '.join(beside)}), which cannot be replaced;"
            f" {KEEP_HEAD}"
        )
    return last


def _classifier(network: nn.Module) -> set[nn.Module] | None:
    """The modules that timm calls the classifier of ``network``; None where it is none of timm's."""
    get = getattr(network, "get_classifier", None)
    if get is None:
        return None
    found = get()
    return {
        module
        for part in (found if isinstance(found, tuple | list) else [found])
        for module in part.modules()
    }


@within("backbone")
def replace_head(network: nn.Module, num_classes: int) -> nn.Module:
    """Give ``network`` a new last layer that starts at zero.

    Zero, not random: an adapter on the head then holds all that was learnt, so that the adapter file and the
    backbone file alone give the model back.
    """
    name, old = find_head(network)
    head = nn.Linear(old.in_features, num_classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    network.set_submodule(name, head)
    return network
