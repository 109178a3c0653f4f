"""What determines a model: its backbone, adaptation, training and data, and the content keys of all of it."""

import hashlib
import json
from dataclasses import dataclass, replace

from pydantic import BaseModel

from adapters.backbones.sources import has_weights, source_of
from adapters.errors import about, within
from adapters.images import ImageSet
from adapters.methods.registry import method_of
from adapters.spec import Adaptation, BackboneSpec, TrainingSpec, is_trained

RECIPE_VERSION = 4
"""Raised when training code, or a default in adapters.spec, changes what a recipe gives.

Also when keys cover what they did not. A new option changes no key.
"""

HEAD = ("classes", "other_classes")
"""Fields of a backbone that say which outputs count: weights, and what is trained on them, are the same."""
NETWORK = ("architecture", "kwargs", "input_size")
"""The fields of a backbone that say what function its weights are of."""


@dataclass(frozen=True)
class Pretraining:
    """How a backbone is trained here, from scratch."""

    training: TrainingSpec
    images: ImageSet


@dataclass(frozen=True)
class Probe:
    """How a new head is trained on a backbone that stays as it is, before anything adapts the two."""

    training: TrainingSpec
    images: ImageSet
    seed: int


@dataclass(frozen=True)
class Backbone:
    """A backbone: trained here, or with the weights that ``spec`` names, or at a random start from ``seed``.

    With a ``probe`` it has a new head, trained so. Raises ModelError where the name of the architecture
    stands for weights, and the start would be random all the same.
    """

    spec: BackboneSpec
    pretraining: Pretraining | None
    seed: int
    probe: Probe | None = None

    def __post_init__(self) -> None:
        if self.is_random:
            source_of(self.spec).check_random(self.spec)

    @property
    def is_random(self) -> bool:
        """Whether nothing has trained it."""
        return self.pretraining is None and not has_weights(self.spec)

    @property
    def key(self) -> str:
        """Content key of the weights. Raises ModelError if they are a file that cannot be read."""
        if self.probe:
            return _key("probe", self.unprobed.key, self.probe.training, self.probe.images, self.probe.seed)
        if self.pretraining:
            return _key("backbone", self.spec, self.pretraining.training, self.pretraining.images, self.seed)
        return _key("weights", self.spec, _content(self.spec), self.seed)

    @property
    def unprobed(self) -> "Backbone":
        """The backbone with its own head."""
        return replace(self, probe=None)


@dataclass(frozen=True)
class Recipe:
    """All that determines a model's weights.

    ``images`` may be empty where nothing is trained: they still name the classes. Where ``training`` says
    that the head is trained first, the backbone is the one with that head.
    """

    name: str
    backbone: Backbone
    adaptation: Adaptation
    training: TrainingSpec
    images: ImageSet
    seed: int

    def __post_init__(self) -> None:
        if (
            self.training.head_start != "random"
            and is_trained(self.adaptation)
            and self.backbone.probe is None
        ):
            probe = Probe(_of_the_head(self.training), self.images, self.seed)
            object.__setattr__(self, "backbone", replace(self.backbone, probe=probe))

    @property
    def key(self) -> str:
        """Content key of the trained weights; the name is not part of it."""
        with within("backbone"):
            backbone = self.backbone.key
        if not is_trained(self.adaptation):
            with within("adaptation"):
                return _key(
                    backbone,
                    self.adaptation,
                    _content(self.adaptation),
                    self.images.classes,
                    *self._own_head(),
                )
        return _key(backbone, self.adaptation, self.training, self.images, self.seed)

    def _own_head(self) -> tuple[object, ...]:
        """What is said of the head that an untrained model keeps; nothing where nothing is."""
        spec = self.backbone.spec
        return () if spec.classes is None else (spec.classes, spec.other_classes)


def _of_the_head(training: TrainingSpec) -> TrainingSpec:
    """How the head is trained before the rest is, as ``training`` declares it."""
    adversarial = training.adversarial if training.head_start == "adversarial-probe" else None
    return training.model_copy(update={"head_start": "random", "adversarial": adversarial})


def _content(spec: BackboneSpec | Adaptation) -> str | None:
    """Content hash of the weights or adapter folder that ``spec`` names or brings; None if there are none."""
    if isinstance(spec, Adaptation):
        return method_of(spec).content(spec)
    if isinstance(spec, BackboneSpec) and spec.weights_file:
        from adapters.backbones.weights import content_hash_of

        with about("weights"):
            return content_hash_of(spec.weights_file)
    if isinstance(spec, BackboneSpec) and spec.weights is None:
        return source_of(spec).weights_content(spec)
    return None


def _beside(spec: BaseModel) -> set[str]:
    """Fields of ``spec`` that only say where something lies, or how it is used.

    The content of what lies there is hashed in their place.
    """
    if isinstance(spec, Adaptation):
        return {spec.place} if spec.place else set()
    if not isinstance(spec, BackboneSpec):
        return set()
    places = {"weights": spec.weights_file is not None, "architecture": source_of(spec).is_place}
    return {*HEAD, *(name for name, is_place in places.items() if is_place)}


def _key(*parts: object) -> str:
    return _digest(*parts)[:32]


def _digest(*parts: object) -> str:
    digest = hashlib.sha256(f"recipe {RECIPE_VERSION}".encode())
    for part in parts:
        digest.update(b"\0" + _canonical(part).encode())
    return digest.hexdigest()


def _canonical(part: object) -> str:
    if isinstance(part, BaseModel):
        plain = part.model_dump(mode="json", exclude_defaults=True, exclude=_beside(part))
        if isinstance(part, BackboneSpec) and (content := source_of(part).content(part)) is not None:
            plain["content"] = content
        return json.dumps(plain, sort_keys=True)  # arguments in another order are the same
    return part.content_hash if isinstance(part, ImageSet) else repr(part)


def sha256_of_model(recipe: Recipe, *digests: str) -> str:
    """Content hash of a model of files with ``digests``: the backbone's weights, then what was tuned and how.

    The architecture is part of it, with its arguments, since the weights do not tell two of the same shapes
    apart. Normalisation is in the file of the backbone.
    """
    return _digest("model", _network_alone(recipe.backbone.spec), recipe.adaptation, *digests)


def _network_alone(spec: BackboneSpec) -> BackboneSpec:
    """``spec`` without its weights, normalisation and training."""
    fields = type(spec).model_fields.items()
    return spec.model_copy(
        update={k: f.get_default(call_default_factory=True) for k, f in fields if k not in NETWORK}
    )


def sha256_of_backbone(backbone: Backbone, weights: str) -> str:
    """Content hash of a backbone whose weights have the sha256 ``weights``."""
    return _digest("backbone", backbone.spec, weights)
