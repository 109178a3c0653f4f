"""Image classifiers of transformers, written transformers/FOLDER or transformers/HUB-ID, with their weights.

Only transformers' own classes are made (trust_remote_code is never given), and only safetensors are read.
"""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from adapters.backbones.image_processor import expected_by, notes_on, read_processor
from adapters.backbones.model_folder import (
    CONFIG,
    folder_of,
    hash_of_function,
    hash_of_weights,
    placed,
    read_config,
    read_weights,
)
from adapters.backbones.numbered import numbered
from adapters.backbones.source import BackboneSource, Spec
from adapters.declaration import did_you_mean
from adapters.errors import ModelError, about
from adapters.files.guards import brief
from adapters.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from adapters.spec import BackboneSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

OLDEST = 5
"""The version of transformers whose loading of state dicts is used here."""
EXTRA = "pip install 'lora-robustness-bench[transformers]'"
UNSUITED = ("perceiver", "timm_wrapper", "shieldgemma2", "siglip2", "imagegpt")
"""Kinds that take more than an image, or other forms of one; timm's networks are written timm/NAME."""
FIXED = (
    "vit",
    "deit",
    "beit",
    "data2vec-vision",
    "vit_msn",
    "levit",
    "clip",
    "siglip",
    "metaclip_2",
    "ijepa",
    "hiera",
)
"""Kinds that take images of one size alone."""
OURS = (
    "attn_implementation", "auto_map", "quantization_config", "dtype", "torch_dtype", "return_dict",
    "use_return_dict", "output_attentions", "output_hidden_states", "problem_type",
)  # fmt: skip
"""Fields that say how a network is loaded or used, which is ours to say, or what other code it would need."""


class Transformers(BackboneSource):
    """A folder of config.json and safetensors: it brings weights, the images they expect, and class names."""

    prefix = "transformers/"
    is_place = True
    keeps_classes = True
    packages = ("transformers",)

    def check(self, spec: BackboneSpec) -> None:
        """Raise ModelError unless the folder is there, of a kind of image classifier in this transformers."""
        _check_installed()
        for name in ("kwargs", "weights"):
            if getattr(spec, name):
                with about(name):
                    raise ModelError(
                        f"{name}: {CONFIG} and the weights beside it describe the whole network; another"
                        " folder"
                        " is another backbone: {architecture: transformers/FOLDER}"
                    )
        _class_of(folder_of(_name(spec)))

    def make(self, spec: BackboneSpec, num_classes: int) -> "nn.Module":  # noqa: ARG002 (it keeps its own classes)
        """The network with its weights; the head is zero where the folder has none."""
        self.check(spec)
        with about("architecture"):
            return _load(folder_of(_name(spec)))

    def brings_weights(self, spec: BackboneSpec) -> bool:  # noqa: ARG002
        """They lie in the folder."""
        return True

    def weights_content(self, spec: BackboneSpec) -> str:
        """Of the weights, their image processor, and the names of the classes."""
        with about("architecture"):
            return hash_of_weights(folder_of(_name(spec)))

    def content(self, spec: BackboneSpec) -> str:
        """Of the configuration."""
        with about("architecture"):
            return hash_of_function(folder_of(_name(spec)))

    def published(self, spec: BackboneSpec) -> Preprocessing:
        """What the image processor in the folder does; without one, the size of images is known at most."""
        self.check(spec)
        folder, fixed = folder_of(_name(spec)), self.fixed_size(spec)
        with about("architecture"):
            processor = read_processor(folder)
            if processor is not None:
                expects = expected_by(processor, folder)
                return expects if expects.size else replace(expects, size=fixed)
        return Preprocessing(IMAGENET_MEAN, IMAGENET_STD, "assumed", fixed)

    def classes(self, spec: BackboneSpec) -> tuple[str, ...]:
        """The names in id2label, in the order of the outputs."""
        return numbered(read_config(folder_of(_name(spec))).get("id2label"))

    def notes(self, spec: BackboneSpec) -> tuple[str, ...]:
        """What of the folder plays no part, and what is done to images in another way."""
        folder = folder_of(_name(spec))
        processor = read_processor(folder)
        return (*_left_out(folder), *(() if processor is None else notes_on(processor)))

    def fixed_size(self, spec: BackboneSpec) -> int | None:
        """The size in the configuration, of kinds that take no other."""
        fields = read_config(folder_of(_name(spec)))
        size = fields.get("image_size")
        return size if fields.get("model_type") in FIXED and isinstance(size, int) else None

    def located(self, spec: Spec, folders: Sequence[Path]) -> Spec:
        """``spec`` with its folder as found; what is found nowhere may be on the Hub."""
        return spec.model_copy(update={"architecture": self.prefix + placed(_name(spec), folders)})


def _name(spec: BackboneSpec) -> str:
    return spec.architecture.removeprefix(Transformers.prefix)


@about("architecture")
def _check_installed() -> None:
    try:
        import transformers
    except ModuleNotFoundError as error:
        if error.name != "transformers":
            raise
        raise ModelError(f"transformers is not installed; {EXTRA}") from None
    if int(transformers.__version__.split(".")[0]) < OLDEST:
        raise ModelError(f"transformers {transformers.__version__} is too old, {OLDEST} is needed; {EXTRA}")


@about("architecture")
def _class_of(folder: Path) -> "type[nn.Module]":
    """The class of the image classifier in ``folder``.

    Raises ModelError if transformers has none of that kind.
    """
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES

    fields, known = read_config(folder), MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES
    kind, named = fields.get("model_type"), fields.get("architectures") or []
    if kind not in known or kind in UNSUITED:
        suited = [name for name in known if name not in UNSUITED]
        raise ModelError(
            f"{folder / CONFIG}: model_type '{brief(kind)}' is not an image classifier here;"
            f" {did_you_mean(str(kind), suited)}"
        )
    names = known[kind] if isinstance(known[kind], tuple) else (known[kind],)
    chosen = next((name for name in names if isinstance(named, list) and name in named), names[0])
    return cast("type[nn.Module]", getattr(transformers, chosen))


@cache
def answering(kind: Any) -> Any:
    """``kind`` of transformers, answering images by logits alone; all else, names among it, is the same."""

    def forward(self: Any, pixel_values: "Tensor") -> "Tensor":
        logits: Tensor = kind.forward(self, pixel_values=pixel_values).logits
        return logits

    # Of transformers' own module, as the renaming of weights of other versions goes by module and name.
    return type(
        kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__, "__doc__": kind.__doc__}
    )


def _load(folder: Path) -> "nn.Module":
    """The network in ``folder`` with its weights, in float32.

    Raises ModelError if they are not whole, or of another one.
    """
    from adapters.backbones.weights import listed, unusable

    network, found = _filled(folder)
    problems = {
        "missing": sorted(found["missing_keys"]),
        "of another shape": [
            str(name[0] if isinstance(name, tuple) else name) for name in found["mismatched_keys"]
        ],
    }
    head = _head_of(network)
    if head and problems["missing"] and set(problems["missing"]) <= head.keys():
        for parameter in head.values():
            parameter.data.zero_()
        problems["missing"] = []
    wrong = {kind: names for kind, names in problems.items() if names} or unusable(
        network.state_dict(), network.state_dict()
    )
    if wrong:
        raise ModelError(f"{folder}: its weights are not those of its {CONFIG}; {listed(wrong)}")
    return network.eval()


def _filled(folder: Path) -> tuple["nn.Module", dict[str, Any]]:
    """The network in ``folder`` with all of its weights that fit, and what transformers says of the rest."""
    import torch
    from transformers import CONFIG_MAPPING

    fields, state = read_config(folder), read_weights(folder)
    _check_depth(folder, fields, len(state))
    own = {name: value for name, value in fields.items() if not name.startswith("_") and name not in OURS}
    kind: Any = _class_of(folder)
    kind = answering(kind)
    try:
        with quiet():
            config = CONFIG_MAPPING[fields["model_type"]].from_dict(own)
            network, found = kind.from_pretrained(
                None, config=config, state_dict=state, output_loading_info=True, dtype=torch.float32
            )
    except Exception as error:  # noqa: BLE001 (a stranger's configuration fails in every way)
        reason = next(
            (line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__
        )
        raise ModelError(f"{folder}: transformers cannot make this network ({reason[:300]})") from None
    return network, found


def _check_depth(folder: Path, fields: dict[str, Any], tensors: int) -> None:
    """Raise ModelError for more layers than there are tensors: it could take for ever to make them."""
    for name, value in fields.items():
        numbers = value if isinstance(value, list) else [value]
        if ("layers" in name or "depth" in name) and any(isinstance(n, int) and n > tensors for n in numbers):
            raise ModelError(
                f"{folder / CONFIG}: {name} is larger than the number of tensors beside it ({tensors})"
            )


def _head_of(network: "nn.Module") -> "dict[str, Tensor]":
    """The parameters of the last linear layer of ``network``, by their names."""
    from torch import nn

    name, head = [
        (name, module) for name, module in network.named_modules() if isinstance(module, nn.Linear)
    ][-1]
    return {f"{name}.{part}": parameter for part, parameter in head.named_parameters()}


@cache
def _left_out(folder: Path) -> tuple[str, ...]:
    """That weights of ``folder`` have no place in the network, if any (mostly those of a pooling layer)."""
    from adapters.backbones.weights import some

    _, found = _filled(folder)
    unknown = sorted(found["unexpected_keys"])
    return (
        (f"{folder.name}: left out, since the network has no place for them: {some(unknown)}",)
        if unknown
        else ()
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Transformers says nothing and shows no bars here: what to say of a model is on the leaderboard."""
    from transformers.utils import logging as their_logging

    level, bars = their_logging.get_verbosity(), their_logging.is_progress_bar_enabled()
    their_logging.set_verbosity(logging.CRITICAL)
    their_logging.disable_progress_bar()
    try:
        yield
    finally:
        their_logging.set_verbosity(level)
        if bars:
            their_logging.enable_progress_bar()
