"""peft's methods on exactly the layers that a suite names."""

import re
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import nn

from adapters.backbones.networks import find_head
from adapters.backbones.weights import some
from adapters.declaration import did_you_mean
from adapters.errors import ModelError, about
from adapters.methods.earlier_names import names_in_files
from adapters.spec import OftSpec, Targets


class OnLayers(Protocol):
    """A declaration of a method of peft."""

    @property
    def method(self) -> str:
        """Its name."""
        ...

    @property
    def targets(self) -> Targets:
        """The layers that are meant."""
        ...


def with_adapter(
    network: nn.Module, spec: OnLayers, config: str, options: dict[str, Any], seed: int, *, from_zero: bool
) -> nn.Module:
    """``network`` as a PeftModel whose adapter alone is trainable, with the head where no adapter is on it.

    ``config`` is what peft calls the method's configuration, ``options`` what it is given. One that
    multiplies or normalises weights cannot start ``from_zero``: on a new head it would learn nothing, or
    divide by zero.
    """
    import peft

    head, _ = find_head(network)
    targets = resolve_targets(network, spec.targets)
    if head in targets and not from_zero:
        raise ModelError(
            f"{spec.method} cannot learn the new head '{head}', which starts at zero; drop it: it is trained"
            " in full"
        )
    common = {
        # peft would match a list by suffix too (conv1 in every block); a string is a full-match regular
        # expression.
        "target_modules": "|".join(re.escape(name) for name in targets),
        "modules_to_save": None if head in targets else [head],
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            adapted: nn.Module = peft.get_peft_model(network, getattr(peft, config)(**options, **common))
        except (ValueError, NotImplementedError, RuntimeError, TypeError) as error:
            raise ModelError(f"{spec.method} cannot adapt these layers: {error}") from None
    return adapted


@about("blocks")
def check_oft(network: nn.Module, spec: OftSpec) -> None:
    """Raise ModelError for what peft gets wrong in OFT.

    That is spatial convolutions, and a number of blocks that does not divide. Merged, a spatial convolution
    is another function than unmerged; a number that does not divide is replaced by one that does.
    """
    targets, blocks = resolve_targets(network, spec.targets), spec.blocks
    layers: dict[str, Any] = {name: network.get_submodule(name) for name in targets}
    spatial = [
        name for name, layer in layers.items() if isinstance(layer, nn.Conv2d) and max(layer.kernel_size) > 1
    ]
    if spatial:
        raise ModelError(
            f"oft merges wrongly on spatial convolutions: {some(spatial)}; choose others, or boft or hra for"
            " these"
        )
    uneven = [name for name, layer in layers.items() if _inputs(layer) % blocks]
    if uneven:
        raise ModelError(
            f"oft: {blocks} blocks do not divide the inputs of {some(uneven)}; choose a number that does"
        )


def _inputs(layer: nn.Linear | nn.Conv2d) -> int:
    return layer.in_channels if isinstance(layer, nn.Conv2d) else layer.in_features


@about("targets")
def resolve_targets(network: nn.Module, targets: Targets) -> list[str]:
    """The names of the linear and convolution layers meant, each once; ModelError if a target means none.

    In a list, a target is the layer of exactly that name. Where no layer has it, it is every layer whose name
    ends in it after a dot, as in peft. A string is a regular expression that must match a whole name. Layers
    of transformers are known by their names in its files too, which last from version to version.
    """
    layers = [name for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    saved = {name: in_files for name, in_files in names_in_files(network).items() if name in layers}
    if isinstance(targets, str):
        return _matching(layers, saved, targets)
    return list(dict.fromkeys(layer for target in targets for layer in _meant(layers, saved, target)))


def _meant(layers: list[str], saved: Mapping[str, str], target: str) -> list[str]:
    """Which of ``layers``, some ``saved`` under other names, an entry of a list of targets means."""
    if target in layers:
        return [target]
    found = [name for name in layers if saved.get(name) == target]
    found = found or [
        name for name in layers if any(n.endswith(f".{target}") for n in (name, saved.get(name, name)))
    ]
    if not found:
        known = {*layers, *saved.values()}
        ends = {name.rpartition(".")[2] for name in known}
        raise ModelError(
            f"target '{target}' is not a layer of this backbone; {did_you_mean(target, sorted(known | ends))}"
        )
    return found


def _matching(layers: list[str], saved: Mapping[str, str], pattern: str) -> list[str]:
    try:
        found = [
            name for name in layers if any(re.fullmatch(pattern, n) for n in (name, saved.get(name, name)))
        ]
    except re.error as error:
        raise ModelError(f"targets '{pattern}' is not a regular expression: {error}") from None
    if not found:
        raise ModelError(
            f"targets '{pattern}' matches no whole layer name; the layers are: {', '.join(layers)}"
        )
    return found
