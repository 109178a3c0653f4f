"""Recipe -> trained model, cached by content: the same recipe is never trained twice."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from adapters.cache import alone, is_sound, new_folder, read_sums
from adapters.errors import ModelError
from adapters.images import ImageSet
from adapters.spec import Adaptation, BackboneSpec, TrainingSpec

if TYPE_CHECKING:
    from torch import nn

    from adapters.classifier import Classifier
    from adapters.training import Progress

RECIPE_VERSION = 1
"""Raised when training code changes what a recipe gives."""
CARD = "card.json"


@dataclass(frozen=True)
class Backbone:
    """A backbone trained here, from scratch, on ``images``."""

    spec: BackboneSpec
    training: TrainingSpec
    images: ImageSet
    seed: int

    @property
    def key(self) -> str:
        """Content key of the trained weights."""
        return _key("backbone", self.spec, self.training, self.images, self.seed)


@dataclass(frozen=True)
class Recipe:
    """All that determines a model's weights."""

    name: str
    backbone: Backbone
    adaptation: Adaptation
    training: TrainingSpec
    images: ImageSet
    seed: int

    @property
    def key(self) -> str:
        """Content key of the trained weights; the name is no part of it."""
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

    def card(self, recipe: Recipe) -> Card | None:
        """The card of ``recipe``'s model if it is trained already."""
        return _read_card(self.cache / "models" / recipe.key)

    def files(self, recipe: Recipe) -> dict[str, str]:
        """sha256 of each file of the trained model of ``recipe``, by name."""
        backbone = read_sums(self.cache / "backbones" / recipe.backbone.key)
        own = read_sums(self.cache / "models" / recipe.key)
        return {**{f"backbone/{name}": digest for name, digest in backbone.items()}, **own}

    def ensure(self, recipe: Recipe) -> Card:
        """The card of ``recipe``'s model, which is trained first if need be, by one process at a time."""
        if (card := self.card(recipe)) is not None:
            return card
        with alone(self.cache / "models" / recipe.key, recipe.name):
            return self.card(recipe) or self._train(recipe)

    def load(self, recipe: Recipe) -> "Classifier":
        """The trained classifier, on the zoo's device, in eval mode.

        Raises ModelError if its files are not those of its card.
        """
        from adapters.adaptation import load_adapted, weights_file

        card, folder = self.ensure(recipe), self.cache / "models" / recipe.key
        if card.sha256 != _sha256(recipe.adaptation, self._ensure_backbone(recipe.backbone), weights_file(folder)):
            raise ModelError(f"{folder}: was tuned on another backbone than the cached one; delete this folder and run again")
        network = load_adapted(self._fresh_network(recipe), self.cache / "models" / recipe.key)
        return self._classifier(recipe, network).eval()

    def _train(self, recipe: Recipe) -> Card:
        from adapters.adaptation import adapt, save_adapted
        from adapters.training import fit

        network = adapt(self._fresh_network(recipe), recipe.adaptation, recipe.seed)
        classifier = self._classifier(recipe, network)
        losses = fit(classifier, recipe.images, recipe.training, seed=recipe.seed, progress=self.announce(recipe.name))
        with new_folder(self.cache / "models" / recipe.key) as folder:
            weights = save_adapted(network.cpu(), folder)
            sha = _sha256(recipe.adaptation, self._ensure_backbone(recipe.backbone), weights)
            card = _card(network, recipe.adaptation.method, sha, losses)
            _write_card(folder, card)
        return card

    def _fresh_network(self, recipe: Recipe) -> "nn.Module":
        """The pretrained backbone with a new head, before adaptation."""
        from safetensors.torch import load_file

        from adapters.adaptation import build_backbone, replace_head

        weights = self._ensure_backbone(recipe.backbone)
        backbone = recipe.backbone
        network = build_backbone(backbone.spec, len(backbone.images.classes), backbone.seed)
        network.load_state_dict(load_file(weights))
        return replace_head(network, len(recipe.images.classes)).requires_grad_(False)

    def _ensure_backbone(self, backbone: Backbone) -> Path:
        from adapters.adaptation import WEIGHTS

        folder = self.cache / "backbones" / backbone.key
        if _read_card(folder) is None:
            with alone(folder, "the backbone"):
                if _read_card(folder) is None:
                    self._train_backbone(backbone, folder)
        return folder / WEIGHTS

    def _train_backbone(self, backbone: Backbone, folder: Path) -> None:
        from adapters.adaptation import build_backbone, save_adapted
        from adapters.training import fit

        classes = len(backbone.images.classes)
        network = build_backbone(backbone.spec, classes, backbone.seed)
        classifier = self._wrap(network, backbone.spec, classes)
        announce = self.announce(f"backbone ({classes} source classes)")
        losses = fit(classifier, backbone.images, backbone.training, seed=backbone.seed, progress=announce)
        with new_folder(folder) as temporary:
            weights = save_adapted(network.cpu(), temporary)
            _write_card(temporary, _card(network, "scratch", _sha256(backbone.spec, weights), losses))

    def _classifier(self, recipe: Recipe, network: "nn.Module") -> "Classifier":
        return self._wrap(network, recipe.backbone.spec, len(recipe.images.classes))

    def _wrap(self, network: "nn.Module", spec: BackboneSpec, num_classes: int) -> "Classifier":
        from adapters.classifier import Classifier

        return Classifier(network, mean=spec.mean, std=spec.std, num_classes=num_classes).to(self.device)


def _key(*parts: object) -> str:
    digest = hashlib.sha256(f"recipe {RECIPE_VERSION}".encode())
    for part in parts:
        digest.update(b"\0" + _canonical(part).encode())
    return digest.hexdigest()[:32]


def _canonical(part: object) -> str:
    if isinstance(part, BaseModel):
        return part.model_dump_json()
    return part.content_hash if isinstance(part, ImageSet) else repr(part)


def _sha256(spec: BaseModel, *files: Path) -> str:
    """Content hash of a model: how it is put together and the bytes of its weights."""
    digest = hashlib.sha256(spec.model_dump_json().encode())
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _card(network: "nn.Module", method: str, sha256: str, losses: list[float]) -> Card:
    from adapters.adaptation import count_parameters

    trainable = count_parameters(network, trainable=True)
    added = sum(p.numel() for name, p in network.named_parameters() if "lora_" in name)
    return Card(sha256, method, trainable, count_parameters(network, trainable=False) - added, tuple(losses))


def _read_card(folder: Path) -> Card | None:
    if not is_sound(folder):
        return None
    fields = json.loads((folder / CARD).read_text())
    return Card(**{**fields, "losses": tuple(fields["losses"])})


def _write_card(folder: Path, card: Card) -> None:
    (folder / CARD).write_text(json.dumps(asdict(card), indent=2) + "\n")
