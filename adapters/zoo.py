"""Recipe -> trained model, cached by content: the same recipe is never trained twice."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from adapters.cache import alone, new_folder, read_sums
from adapters.card import Card, read_card, write_card
from adapters.errors import ModelError
from adapters.images import ImageSet
from adapters.recipe import Backbone, Recipe, sha256_of, sha256_of_model
from adapters.spec import NoneSpec, PeftSpec, is_trained

if TYPE_CHECKING:
    from torch import Tensor, nn

    from adapters.backbones import Normalisation
    from adapters.classifier import Classifier
    from adapters.training import Progress

PROBE = 8
"""Images on which a loaded model is checked."""


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
        return read_card(self.folder(recipe))

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
        if card.sha256 != sha256_of_model(recipe, self.ensure_backbone(recipe.backbone), weights_file(folder)):
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
            sha = sha256_of_model(recipe, self.ensure_backbone(recipe.backbone), weights)
            trainable = count_parameters(network, trainable=True)
            card = Card(sha, recipe.adaptation.method, trainable, parameters, tuple(losses))
            write_card(folder, card)
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
        if read_card(folder) is None:
            with alone(folder, "the backbone"):
                if read_card(folder) is None:
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
            write_card(temporary, Card(sha256_of(backbone.spec, temporary / WEIGHTS), method, count, count, tuple(losses)))

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
