"""Recipe -> trained model, cached by content: the same recipe is never trained twice."""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel

from adapters.cache import alone, is_sound, new_folder, read_sums
from adapters.errors import ModelError
from adapters.images import ImageSet
from adapters.spec import Adaptation, BackboneSpec, NoneSpec, PeftSpec, TrainingSpec, is_trained

if TYPE_CHECKING:
    from torch import Tensor, nn

    from adapters.backbones import Normalisation
    from adapters.classifier import Classifier
    from adapters.training import Progress

RECIPE_VERSION = 2
"""Raised when training code, or a default in adapters.spec, changes what a recipe gives. A new option changes no key."""
CARD = "card.json"
PROBE = 8
"""Images on which a loaded model is checked."""

log = logging.getLogger(__name__)


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
        if self.pretraining is None and self.spec.weights is None and "." in (self.spec.timm_name or ""):
            raise ModelError(
                f"{self.spec.architecture} names weights, but would start at random; add 'weights: pretrained', or take "
                f"'{self.spec.architecture.partition('.')[0]}' for a random start"
            )

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
        if not is_trained(self.adaptation):
            return _key(self.backbone.key, self.adaptation, _content(self.adaptation), self.images.classes)
        return _key(self.backbone.key, self.adaptation, self.training, self.images, self.seed)


@dataclass(frozen=True)
class Card:
    """What is known of a trained model without loading it."""

    sha256: str
    method: str
    trainable_parameters: int
    parameters: int
    losses: tuple[float, ...]


class Zoo:
    """Trained models under one cache folder. ``announce(title)`` gives the progress callback of one training."""

    def __init__(self, cache: Path, announce: Callable[[str], "Progress"], device: str = "cpu") -> None:
        self.cache = cache
        self.announce = announce
        self.device = device

    def folder(self, recipe: Recipe) -> Path:
        """Where the trained model of ``recipe`` is, or will be; an adapter in it is in peft's format."""
        return self.cache / "models" / recipe.key

    def card(self, recipe: Recipe) -> Card | None:
        """The card of ``recipe``'s model if it is trained already."""
        return _read_card(self.folder(recipe))

    def files(self, recipe: Recipe) -> dict[str, str]:
        """sha256 of each file of the trained model of ``recipe``, by name."""
        backbone = read_sums(self.cache / "backbones" / recipe.backbone.key)
        own = read_sums(self.folder(recipe))
        return {**{f"backbone/{name}": digest for name, digest in backbone.items()}, **own}

    def check(self, recipe: Recipe) -> None:
        """Raise ModelError if the adaptation does not fit the architecture: found out before hours of training, not after."""
        from adapters.adaptation import adapt
        from adapters.backbones import build_backbone, normalisation, replace_head

        waits = recipe.backbone.pretraining is not None or is_trained(recipe.adaptation)
        if waits and self.card(recipe) is None:
            spec, classes = recipe.backbone.spec, len(recipe.images.classes)
            network = build_backbone(spec, classes, recipe.seed)
            if is_trained(recipe.adaptation):
                network = replace_head(network, classes)
            network = adapt(network, recipe.adaptation, recipe.seed)
            _check_fit(self._wrap(network, normalisation(spec), classes), recipe)

    def ensure(self, recipe: Recipe) -> Card:
        """The card of ``recipe``'s model, which is trained first if need be, by one process at a time."""
        if (card := self.card(recipe)) is not None:
            return card
        with alone(self.folder(recipe), recipe.name):
            return self.card(recipe) or self._train(recipe)

    def load(self, recipe: Recipe) -> "Classifier":
        """The trained classifier, on the zoo's device, in eval mode.

        Raises ModelError if its files are not those of its card, or if it is not what it claims to be.
        """
        from adapters.adaptation import load_adapted, weights_file
        from adapters.checks import check_model

        card, folder = self.ensure(recipe), self.folder(recipe)
        if card.sha256 != _sha256_of_model(recipe, self.ensure_backbone(recipe.backbone), weights_file(folder)):
            raise ModelError(f"{folder}: was tuned on another backbone than the cached one; delete this folder and run again")
        network = load_adapted(self._fresh_network(recipe), recipe.adaptation, folder)
        classifier = self._classifier(recipe, network).eval()
        check_model(classifier, _probe(recipe.images).to(classifier.device), trained=is_trained(recipe.adaptation))
        return classifier

    def _train(self, recipe: Recipe) -> Card:
        from adapters.adaptation import adapt, check_trainable, count_parameters, save_adapted
        from adapters.base import base_of
        from adapters.checks import check_model
        from adapters.training import fit

        network = self._fresh_network(recipe)
        base, parameters = base_of(network), count_parameters(network, trainable=False)
        network = adapt(network, recipe.adaptation, recipe.seed)
        classifier = self._classifier(recipe, network)
        _check_fit(classifier, recipe)
        losses, state, trained = [], self._state(recipe.key), is_trained(recipe.adaptation)
        if trained:
            check_trainable(network, recipe.adaptation)
            announce = self.announce(recipe.name)
            losses = fit(classifier, recipe.images, recipe.training, seed=recipe.seed, progress=announce, checkpoint=state)
        check_model(classifier.eval(), _probe(recipe.images).to(classifier.device), trained=trained)
        with new_folder(self.folder(recipe)) as folder:
            weights = save_adapted(network.cpu(), base, folder)
            sha = _sha256_of_model(recipe, self.ensure_backbone(recipe.backbone), weights)
            trainable = count_parameters(network, trainable=True)
            card = Card(sha, recipe.adaptation.method, trainable, parameters, tuple(losses))
            _write_card(folder, card)
        state.unlink(missing_ok=True)
        return card

    def _fresh_network(self, recipe: Recipe) -> "nn.Module":
        """The backbone before adaptation: with a new head, but where a model that is not trained can keep the old one."""
        from adapters.backbones import load_backbone, replace_head
        from adapters.base import fit_base

        network, has = load_backbone(recipe.backbone.spec, self.ensure_backbone(recipe.backbone))
        wanted = len(recipe.images.classes)
        if isinstance(recipe.adaptation, PeftSpec):
            return fit_base(network, has, recipe.adaptation.path, wanted)
        if not isinstance(recipe.adaptation, NoneSpec):
            return replace_head(network, wanted)
        if has != wanted:
            raise ModelError(
                f"{recipe.name}: the backbone has {has} classes, the data have {wanted}; choose the data's classes to match, "
                "or adapt the backbone"
            )
        return network

    def ensure_backbone(self, backbone: Backbone) -> Path:
        """The file with the backbone's weights, which are trained or fetched first if need be."""
        from adapters.adaptation import WEIGHTS

        folder = self.cache / "backbones" / backbone.key
        if _read_card(folder) is None:
            with alone(folder, "the backbone"):
                if _read_card(folder) is None:
                    (self._pretrain if backbone.pretraining else self._fetch)(backbone, folder)
        return folder / WEIGHTS

    def _pretrain(self, backbone: Backbone, folder: Path) -> None:
        from adapters.backbones import build_backbone, normalisation
        from adapters.training import fit

        assert backbone.pretraining is not None  # noqa: S101 (the caller has looked)
        images = backbone.pretraining.images
        classes = len(images.classes)
        network = build_backbone(backbone.spec, classes, backbone.seed)
        classifier = self._wrap(network, normalisation(backbone.spec), classes)
        announce, state = self.announce(f"backbone ({classes} source classes)"), self._state(backbone.key)
        training = backbone.pretraining.training
        losses = fit(classifier, images, training, seed=backbone.seed, progress=announce, checkpoint=state)
        self._keep(backbone, folder, network.cpu(), "scratch", losses)
        state.unlink(missing_ok=True)

    def _fetch(self, backbone: Backbone, folder: Path) -> None:
        from adapters.backbones import fetch_backbone

        network = fetch_backbone(backbone.spec, backbone.seed)
        self._keep(backbone, folder, network, "pretrained" if backbone.spec.weights else "random", [])

    def _keep(self, backbone: Backbone, folder: Path, network: "nn.Module", method: str, losses: list[float]) -> None:
        from adapters.adaptation import WEIGHTS, count_parameters
        from adapters.backbones import normalisation, save_backbone

        with new_folder(folder) as temporary:
            # Fetched weights carry their normalisation, which is thus part of the content of every model built on them.
            norm = None if backbone.pretraining else normalisation(backbone.spec)
            save_backbone(network, temporary / WEIGHTS, norm)
            count = count_parameters(network, trainable=False)
            _write_card(temporary, Card(_sha256(backbone.spec, temporary / WEIGHTS), method, count, count, tuple(losses)))

    def _state(self, key: str) -> Path:
        """Where an unfinished training of ``key`` is kept."""
        return self.cache / "unfinished" / f"{key}.pt"

    def _classifier(self, recipe: Recipe, network: "nn.Module") -> "Classifier":
        from adapters.backbones import normalisation, saved_normalisation

        saved = saved_normalisation(self.ensure_backbone(recipe.backbone))
        return self._wrap(network, saved or normalisation(recipe.backbone.spec), len(recipe.images.classes))

    def _wrap(self, network: "nn.Module", norm: "Normalisation", num_classes: int) -> "Classifier":
        from adapters.classifier import Classifier

        return Classifier(network, mean=norm.mean, std=norm.std, num_classes=num_classes).to(self.device)


def _check_fit(classifier: "Classifier", recipe: Recipe) -> None:
    from adapters.checks import check_input, check_reached

    check_input(classifier, recipe.images.input_shape)
    check_reached(classifier, recipe.images.input_shape)


def _probe(images: ImageSet) -> "Tensor":
    """A few images to try a model on: of ``images``, or noise where there are none. N x 3 x H x W in [0, 1]."""
    import torch

    if len(images) >= PROBE:
        return torch.from_numpy(np.divide(images.images[:PROBE], 255, dtype=np.float32))
    return torch.rand(PROBE, *images.input_shape, generator=torch.Generator().manual_seed(0))


def _content(spec: BackboneSpec | Adaptation) -> str | None:
    """The content hash of the weights file or adapter folder that ``spec`` names; None where it names neither."""
    if isinstance(spec, PeftSpec):
        from adapters.peft_folder import content_hash

        return content_hash(spec.path)
    if isinstance(spec, BackboneSpec) and spec.weights_file:
        from adapters.weights import content_hash_of

        return content_hash_of(spec.weights_file)
    return None


def _whereabouts(spec: BaseModel) -> set[str]:
    """The fields of ``spec`` that only say where something lies: its content is hashed in their place."""
    if isinstance(spec, PeftSpec):
        return {"path"}
    return {"weights"} if isinstance(spec, BackboneSpec) and spec.weights_file else set()


def _key(*parts: object) -> str:
    digest = hashlib.sha256(f"recipe {RECIPE_VERSION}".encode())
    for part in parts:
        digest.update(b"\0" + _canonical(part).encode())
    return digest.hexdigest()[:32]


def _canonical(part: object) -> str:
    if isinstance(part, BaseModel):
        return part.model_dump_json(exclude_defaults=True, exclude=_whereabouts(part))
    return part.content_hash if isinstance(part, ImageSet) else repr(part)


def _sha256_of_model(recipe: Recipe, *files: Path) -> str:
    """Content hash of a model. The architecture is part of it, since the weights do not tell two of the same shapes apart."""
    architecture = recipe.backbone.spec.architecture
    # The default is left out, as in keys: the models of references made before keep their names.
    return _sha256(recipe.adaptation, *files, also="" if architecture == BackboneSpec().architecture else architecture)


def _sha256(spec: BaseModel, *files: Path, also: str = "") -> str:
    """Content hash of how something is put together and of the bytes of its weights."""
    digest = hashlib.sha256(spec.model_dump_json(exclude=_whereabouts(spec)).encode() + also.encode())
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _read_card(folder: Path) -> Card | None:
    if not is_sound(folder):
        return None
    try:
        fields = json.loads((folder / CARD).read_text())
        return Card(**{**fields, "losses": tuple(fields["losses"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s: of another version (%s); made anew", folder, error)
        return None


def _write_card(folder: Path, card: Card) -> None:
    (folder / CARD).write_text(json.dumps(asdict(card), indent=2) + "\n")
