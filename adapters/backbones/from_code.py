"""Networks made by the user's own code: my_package.models:build, or path/to/file.py:build.

It runs only where ``spec.code`` says so, which no suite can: whoever starts the run does. It is called with
``kwargs``, and with ``num_classes`` where it takes that and brings no weights itself. Weights that the code
loads itself count as trained; the network's own classes are then kept. The head is its last linear layer, or
what its ``get_classifier()`` gives, as timm's do.
"""

import copy
import hashlib
import inspect
import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.backbones.code_place import find_code
from adapters.backbones.code_running import Loaded, call, load
from adapters.backbones.constructors import arguments
from adapters.backbones.source import BackboneSource, Spec
from adapters.declaration import did_you_mean
from adapters.errors import ModelError, about
from adapters.spec import BackboneSpec, OwnCode

if TYPE_CHECKING:
    from torch import Tensor, nn

CLASSES = "num_classes"
SEEDS = (0, 1)
"""Two starts that are compared: what is the same at both was not drawn."""


@dataclass(frozen=True)
class _Facts:
    """Hashes: of the code with what it keeps outside the weights, and of the weights it brings (or None)."""

    content: str
    weights: str | None


_known: dict[tuple[OwnCode, str, str], _Facts] = {}


class FromCode(BackboneSource):
    """Whatever a function or class of the user's own makes, as long as it is a torch.nn.Module."""

    prefix = ""
    is_place = True
    runs_code = True

    def takes(self, architecture: str) -> bool:
        """Whether ``architecture`` names code."""
        return ":" in architecture or architecture.endswith(".py")

    @about("architecture")
    def located(self, spec: Spec, folders: Sequence[Path]) -> Spec:
        """``spec`` with leave to run the code that its architecture names."""
        return spec.running(find_code(spec.architecture, folders))

    def check(self, spec: BackboneSpec) -> None:
        """Raise ModelError unless the code is there, may run, and takes ``spec.kwargs``."""
        _check_arguments(spec, _maker(spec))

    def make(self, spec: BackboneSpec, num_classes: int) -> "nn.Module":
        """The network, with weights of its own or at the start that torch's seed gives."""
        given = spec.weights is None and _facts(spec).weights is not None
        return _made(spec, None if given else num_classes)

    def has_own_classes(self, spec: BackboneSpec) -> bool:
        """Whether the code does not take a number of classes, or brings weights."""
        return not _takes_classes(spec) or self.brings_weights(spec)

    def brings_weights(self, spec: BackboneSpec) -> bool:
        """Whether the code gives the same weights whatever is drawn."""
        return spec.weights is None and _facts(spec).weights is not None

    def weights_content(self, spec: BackboneSpec) -> str | None:
        """A hash of the weights that the code brings."""
        return _facts(spec).weights

    def content(self, spec: BackboneSpec) -> str:
        """A hash of the code, and of the tensors that it keeps beside its weights."""
        return _facts(spec).content

    def files(self, spec: BackboneSpec) -> dict[str, Path]:
        """The modules of the code."""
        return dict(_loaded(spec).files)


@about("architecture")
def _code(spec: BackboneSpec) -> OwnCode:
    if spec.code is None:
        raise ModelError(
            f"{spec.architecture} is code, which runs only where whoever starts the run allows it"
        )
    return spec.code


def _loaded(spec: BackboneSpec) -> Loaded:
    return load(_code(spec))


@about("architecture")
def _maker(spec: BackboneSpec) -> Callable[..., object]:
    """The function or class that ``spec`` names. Raises ModelError if it is neither."""
    import torch

    found = _loaded(spec).made
    if inspect.isclass(found) and not issubclass(found, torch.nn.Module):
        raise ModelError(
            f"{spec.architecture} is a class, but not a torch.nn.Module; name one, or a function that"
            " returns one"
        )
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        kind = type(found).__name__
        raise ModelError(
            f"{spec.architecture} is a {kind}; name a class derived from torch.nn.Module, or a function that"
            " returns one"
        )
    return found


@about("kwargs")
def _check_arguments(spec: BackboneSpec, make: Callable[..., object]) -> None:
    """Raise ModelError for an argument that ``make`` does not have, and for one it needs but is not given."""
    names = _names(make)
    unknown = [name for name in spec.kwargs if names is not None and name not in names]
    if unknown:
        raise ModelError(
            f"kwargs: {spec.architecture} has no argument '{unknown[0]}';"
            f" {did_you_mean(unknown[0], sorted(names or ()))}"
        )
    needed = [
        p.name
        for p in _parameters(make)
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    missing = [name for name in needed if name not in spec.kwargs and name != CLASSES]
    if missing:
        raise ModelError(f"kwargs: {spec.architecture} needs '{missing[0]}'; give it here")


def _parameters(make: Callable[..., object]) -> Iterable[inspect.Parameter]:
    return inspect.signature(make).parameters.values()


def _names(make: Callable[..., object]) -> set[str] | None:
    """The names that ``make`` takes; None where it takes any."""
    if inspect.isclass(make):
        return arguments(make)
    if any(p.kind == p.VAR_KEYWORD for p in _parameters(make)):
        return None
    return {p.name for p in _parameters(make) if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}


def _takes_classes(spec: BackboneSpec) -> bool:
    return CLASSES in (_names(_maker(spec)) or ()) and CLASSES not in spec.kwargs


@about("kwargs")
def _made(spec: BackboneSpec, num_classes: int | None) -> "nn.Module":
    """A network of its own, on the CPU: the code may give the same object twice.

    None leaves the classes to the code.
    """
    import torch

    make = _maker(spec)
    _check_arguments(spec, make)
    options: dict[str, Any] = dict(spec.kwargs)
    if num_classes is not None and _takes_classes(spec):
        options[CLASSES] = num_classes
    with _seeded():
        network = call(_code(spec), make, options)
    if not isinstance(network, torch.nn.Module):
        raise ModelError(
            f"{spec.architecture} gives a {type(network).__name__}, not a torch.nn.Module; return the network"
        )
    return copy.deepcopy(network).cpu()


@contextmanager
def _seeded() -> Iterator[None]:
    """What Python and NumPy draw in here follows torch's seed too."""
    import numpy as np
    import torch

    states = (random.getstate(), np.random.get_state())  # noqa: NPY002 (code may use it)
    seed = torch.initial_seed() % 2**32
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


def _facts(spec: BackboneSpec) -> _Facts:
    """What two starts of the network tell, once per content of the code and per kwargs in this process."""
    loaded = _loaded(spec)
    at = _code(spec), loaded.content, json.dumps(spec.kwargs, sort_keys=True)
    if at not in _known:
        first, second = (_at_seed(spec, seed) for seed in SEEDS)
        hidden = _hidden_tensors(first)
        drawn = [
            name
            for name, tensor in _hidden_tensors(second).items()
            if _digest({name: tensor}) != _digest({name: hidden.get(name)})
        ]
        if drawn:
            raise ModelError(
                f"{spec.architecture} draws '{drawn[0]}' at random, and does not keep it in its state dict:"
                " it would differ each time the network is built; register it with register_buffer"
            )
        weights = _digest(first.state_dict())
        content = hashlib.sha256(
            f"{_code(spec).name}\n{loaded.content}\n{_digest(hidden)}".encode()
        ).hexdigest()
        _known[at] = _Facts(content, weights if weights == _digest(second.state_dict()) else None)
    return _known[at]


def _at_seed(spec: BackboneSpec, seed: int) -> "nn.Module":
    import torch

    needs = any(p.name == CLASSES and p.default is p.empty for p in _parameters(_maker(spec)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _made(spec, 2 if needs else None)


def _hidden_tensors(network: "nn.Module") -> dict[str, "Tensor"]:
    """Tensors of ``network`` that are not in its state dict: buffers not kept, and plain attributes."""
    from torch import Tensor

    found: dict[str, Tensor] = {}
    for prefix, module in network.named_modules():
        own = {**{name: module._buffers[name] for name in module._non_persistent_buffers_set}, **vars(module)}
        for name, value in own.items():
            parts = (
                value.values()
                if isinstance(value, dict) and name[:1] != "_"
                else value
                if isinstance(value, list | tuple)
                else [value]
            )
            found |= {
                f"{prefix}.{name}.{i}".lstrip("."): part
                for i, part in enumerate(parts)
                if isinstance(part, Tensor)
            }
    return found


def _digest(tensors: "dict[str, Tensor | None] | dict[str, Tensor] | dict[str, Any]") -> str:
    """A sha256 of ``tensors``, by name."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        if isinstance(tensor, torch.Tensor):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
