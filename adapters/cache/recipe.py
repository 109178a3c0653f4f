"""What determines a model: its backbone, adaptation, training and data, and the content keys of all of it."""

import hashlib
import json
from dataclasses import dataclass

from pydantic import BaseModel

from adapters.errors import ModelError, about, within
from adapters.images import ImageSet
from adapters.spec import Adaptation, BackboneSpec, PeftSpec, TrainingSpec, is_trained

RECIPE_VERSION = 3
"""Raised when training code, or a default in adapters.spec, changes what a recipe gives, or when keys cover what they did not.
A new option changes no key."""


@dataclass(frozen=True)
class Pretraining:
    """How a backbone is trained here, from scratch."""

    training: TrainingSpec
    images: ImageSet


@dataclass(frozen=True)
class Backbone:
    """A backbone: trained here, or with the weights that ``spec`` names, or at a random start from ``seed``.

    Raises ModelError where a timm name has a tag, which stands for weights, and the start would be random all the same.
    """

    spec: BackboneSpec
    pretraining: Pretraining | None
    seed: int

    def __post_init__(self) -> None:
        if self.is_random and "." in (self.spec.timm_name or ""):
            raise ModelError(
                f"{self.spec.architecture} names weights, but would start at random; add 'weights: pretrained', or take "
                f"'{self.spec.architecture.partition('.')[0]}' for a random start"
            )

    @property
    def is_random(self) -> bool:
        """Whether nothing has trained it."""
        return self.pretraining is None and self.spec.weights is None

    @property
    def key(self) -> str:
        """Content key of the weights. Raises ModelError if they are a file that cannot be read."""
        if self.pretraining:
            return _key("backbone", self.spec, self.pretraining.training, self.pretraining.images, self.seed)
        return _key("weights", self.spec, _content(self.spec), self.seed)


@dataclass(frozen=True)
class Recipe:
    """All that determines a model's weights. ``images`` may be empty where nothing is trained: they still name the classes."""

    name: str
    backbone: Backbone
    adaptation: Adaptation
    training: TrainingSpec
    images: ImageSet
    seed: int

    @property
    def key(self) -> str:
        """Content key of the trained weights; the name is no part of it."""
        with within("backbone"):
            backbone = self.backbone.key
        if not is_trained(self.adaptation):
            with within("adaptation"):
                return _key(backbone, self.adaptation, _content(self.adaptation), self.images.classes)
        return _key(backbone, self.adaptation, self.training, self.images, self.seed)


def _content(spec: BackboneSpec | Adaptation) -> str | None:
    """The content hash of the weights file or adapter folder that ``spec`` names; None where it names neither."""
    if isinstance(spec, PeftSpec):
        from adapters.methods.peft_folder import content_hash

        with about("path"):
            return content_hash(spec.path)
    if isinstance(spec, BackboneSpec) and spec.weights_file:
        from adapters.backbones.weights import content_hash_of

        with about("weights"):
            return content_hash_of(spec.weights_file)
    return None


def _whereabouts(spec: BaseModel) -> set[str]:
    """The fields of ``spec`` that only say where something lies: its content is hashed in their place."""
    if isinstance(spec, PeftSpec):
        return {"path"}
    return {"weights"} if isinstance(spec, BackboneSpec) and spec.weights_file else set()


def _key(*parts: object) -> str:
    return _digest(*parts)[:32]


def _digest(*parts: object) -> str:
    digest = hashlib.sha256(f"recipe {RECIPE_VERSION}".encode())
    for part in parts:
        digest.update(b"\0" + _canonical(part).encode())
    return digest.hexdigest()


def _canonical(part: object) -> str:
    if isinstance(part, BaseModel):
        plain = part.model_dump(mode="json", exclude_defaults=True, exclude=_whereabouts(part))
        return json.dumps(plain, sort_keys=True)  # arguments in another order are the same
    return part.content_hash if isinstance(part, ImageSet) else repr(part)


def sha256_of_model(recipe: Recipe, *digests: str) -> str:
    """Content hash of a model whose files have the ``digests``: the backbone's weights, then what was tuned, and how.

    The architecture is part of it, with its arguments, since the weights do not tell two of the same shapes apart.
    Normalisation is in the file of the backbone.
    """
    spec = recipe.backbone.spec
    network = BackboneSpec(architecture=spec.architecture, kwargs=spec.kwargs)
    return _digest("model", network, recipe.adaptation, *digests)


def sha256_of_backbone(backbone: Backbone, weights: str) -> str:
    """Content hash of a backbone whose weights have the sha256 ``weights``."""
    return _digest("backbone", backbone.spec, weights)
