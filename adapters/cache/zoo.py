"""Recipe -> trained model, cached by content: the same recipe is never trained twice."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.backbones.sources import side_inside, source_of
from adapters.cache.card import Card, read_card, write_card
from adapters.cache.content import (
    CONFIG,
    check_unchanged,
    content_in,
    content_of_model,
    digests,
    not_as_planned,
    of_backbone,
    still_there,
)
from adapters.cache.folders import alone, new_folder, read_sums, read_whole
from adapters.cache.folders import sha256 as sha256_of_file
from adapters.cache.recipe import Backbone, Pretraining, Probe, Recipe, sha256_of_backbone
from adapters.errors import ChangedError, within
from adapters.files.names import CODE, OUTPUTS_FILE, WEIGHTS
from adapters.images import ImageSet
from adapters.outputs import Outputs, from_json
from adapters.preprocessing import Preprocessing
from adapters.spec import BackboneSpec, HeadSpec, is_trained
from adapters.training.curves import History, Progress

if TYPE_CHECKING:
    from torch import nn

    from adapters.classifier import Classifier
    from adapters.methods.base import Base

log = logging.getLogger(__name__)


class Zoo:
    """Trained models under one cache folder; ``announce(title)`` gives one training's progress callback."""

    def __init__(self, cache: Path, announce: Callable[[str], Progress], device: str = "cpu") -> None:
        self.cache = cache
        self.announce = announce
        self.device = device

    def folder(self, recipe: Recipe) -> Path:
        """Where the trained model of ``recipe`` is, or will be; an adapter in it is in peft's format."""
        return self.cache / "models" / recipe.key

    def card(self, recipe: Recipe) -> Card | None:
        """The card of ``recipe``'s model if it is trained already, on the backbone that is there."""
        if read_card(self.backbone_folder(recipe.backbone)) is None:
            return None  # what is wrong with the backbone is said before what is wrong with the adapter
        card = read_card(folder := self.folder(recipe))
        if card is None or card.sha256 == content_of_model(recipe, self.files(recipe), self._config(recipe)):
            return card
        log.warning("%s: was tuned on a different backbone from the cached one; rebuilt", folder)
        return None

    def files(self, recipe: Recipe) -> dict[str, str]:
        """sha256 of each file of ``recipe``'s trained model, by name; ChangedError if it is gone."""
        with still_there(recipe):
            backbone = read_sums(self.backbone_folder(recipe.backbone))
            own = {**of_backbone(backbone), **read_sums(self.folder(recipe))}
        spec = recipe.backbone.spec
        code = source_of(spec).files(spec)
        return {**own, **{f"{CODE}{name}": sha256_of_file(file) for name, file in code.items()}}

    def _config(self, recipe: Recipe) -> bytes | None:
        """The configuration of the adapter that ``recipe``'s trained model holds, if it does."""
        file = self.folder(recipe) / CONFIG
        return file.read_bytes() if file.is_file() else None

    def check(self, recipe: Recipe) -> None:
        """Raise ModelError if the adaptation does not fit the architecture, before hours of training."""
        from adapters.backbones.networks import build_backbone, preprocessing_of, replace_head
        from adapters.methods.adaptation import adapt

        waits = recipe.backbone.pretraining is not None or is_trained(recipe.adaptation)
        if waits and self.card(recipe) is None:
            spec, classes = recipe.backbone.spec, len(recipe.images.classes)
            with within("backbone"):
                network = build_backbone(spec, classes, recipe.seed)
            if is_trained(recipe.adaptation):
                _check_head(self._wrap(network, spec, preprocessing_of(spec), recipe.images), recipe)
                network = replace_head(network, classes)
            network = adapt(network, recipe.adaptation, recipe.seed)
            _check_fit(self._wrap(network, spec, preprocessing_of(spec), recipe.images), recipe)

    def ensure(self, recipe: Recipe) -> Card:
        """The card of ``recipe``'s model, which is trained first if need be, by one process at a time."""
        self.ensure_backbone(recipe.backbone)
        if (card := self.card(recipe)) is not None:
            return card
        with alone(self.folder(recipe), recipe.name):
            return self.card(recipe) or self._train(recipe)

    def load(self, recipe: Recipe, sha256: str) -> "Classifier":
        """The trained classifier of the content ``sha256`` (its card's), on the zoo's device, in eval mode.

        Nothing is trained here, and what is hashed is what is loaded: a cache may change under a run. Raises
        ModelError if the cache no longer holds that content, or if the model is not what it claims to be.
        """
        from adapters.cache.checks import check_model, images_to_try
        from adapters.methods.adaptation import load_adapted, unpacked_adapter

        backbone, own = self._read(recipe, sha256)
        outputs = from_json(own[OUTPUTS_FILE]) if OUTPUTS_FILE in own else None
        with unpacked_adapter(own) as adapter:
            network, has = self._network(recipe, backbone)
            fresh = self._with_head(recipe, network, has, outputs, str(adapter))
            network = load_adapted(fresh, recipe.adaptation, own, adapter)
        classifier = self._classifier(recipe, network, backbone, outputs).eval()
        probe = images_to_try(recipe.images).to(classifier.device)
        check_model(classifier, probe, trained=is_trained(recipe.adaptation))
        return classifier

    def unadapted(self, recipe: Recipe, sha256: str) -> "Classifier | None":
        """The backbone of the trained model of the content ``sha256``, with a new head, which starts at zero.

        None where it started at random, or nothing was trained. Raises ModelError as ``load`` does.
        """
        if recipe.backbone.is_random or not is_trained(recipe.adaptation):
            return None
        backbone, _ = self._read(recipe, sha256)
        network = self._with_head(recipe, *self._network(recipe, backbone), None, "")
        return self._classifier(recipe, network, backbone, None).eval()

    def _read(self, recipe: Recipe, sha256: str) -> tuple[bytes, dict[str, bytes]]:
        """The backbone's weights, and the model's files by name: together of the content ``sha256``."""
        with still_there(recipe, sha256):
            backbone, own = read_whole(self.backbone_folder(recipe.backbone)), read_whole(self.folder(recipe))
        if content_of_model(recipe, digests({**of_backbone(backbone), **own}), own.get(CONFIG)) != sha256:
            raise not_as_planned(recipe, sha256, "replaced")
        return backbone[WEIGHTS], own

    def _train(self, recipe: Recipe) -> Card:
        from adapters.cache.own_head import notes_on, which_outputs
        from adapters.methods.adaptation import adapt, count_parameters
        from adapters.methods.base import base_of

        target, backbone = self.folder(recipe), self._read_backbone(recipe.backbone)
        network, has = self._network(recipe, backbone)
        outputs = None if is_trained(recipe.adaptation) else which_outputs(recipe, network, has)
        network = self._with_head(recipe, network, has, outputs, recipe.adaptation.lies_at)
        base, parameters = base_of(network), count_parameters(network, trainable=False)
        known = self._backbone_card(recipe.backbone)
        notes, expects = known.notes + notes_on(recipe, network, outputs), _expected(known)
        network = adapt(network, recipe.adaptation, recipe.seed)
        history = self._tune(recipe, self._classifier(recipe, network, backbone, outputs))
        trainable = count_parameters(network, trainable=True)
        expects = _made_for(expects, recipe.images) if is_trained(recipe.adaptation) else expects
        went = (history.losses, (*notes, *history.notes), expects, history.robust)
        card = Card("", recipe.adaptation.method, trainable, parameters, *went)
        with new_folder(target) as folder:
            _write_tuned(folder, network.cpu(), base, expects, outputs)
            card = replace(card, sha256=content_in(folder, recipe, backbone))
            write_card(folder, card)
            check_unchanged(recipe.name, self.folder(recipe), target)
        self._state(recipe.key).unlink(missing_ok=True)
        return card

    def _tune(self, recipe: Recipe, classifier: "Classifier") -> History:
        """Train ``classifier``, if ``recipe`` trains anything, and check it; returns how training went."""
        from adapters.cache.checks import check_model, check_outputs, images_to_try
        from adapters.methods.adaptation import check_trainable

        _check_fit(classifier, recipe)
        history, trained = History(()), is_trained(recipe.adaptation)
        if trained:
            check_trainable(classifier.network, recipe.adaptation)
            history = self._fit(classifier, recipe, recipe.seed, recipe.name, recipe.key)
        probe = images_to_try(recipe.images).to(classifier.device)
        check_outputs(classifier.eval(), probe)
        check_model(classifier, probe, trained=trained)
        return history

    def _fit(
        self, classifier: "Classifier", on: Recipe | Pretraining | Probe, seed: int, title: str, key: str
    ) -> History:
        """Train ``classifier`` as ``on`` says; an interrupted training of the same ``key`` goes on."""
        from adapters.training.fit import fit

        progress, state = self.announce(title), self._state(key)
        return fit(classifier, on.images, on.training, seed=seed, progress=progress, checkpoint=state)

    def _network(self, recipe: Recipe, backbone: bytes) -> "tuple[nn.Module, int]":
        """The network of the weights ``backbone`` with the head it has, and how many outputs that has."""
        from safetensors.torch import load

        from adapters.backbones.networks import with_weights
        from adapters.cache.checks import count_outputs

        spec = recipe.backbone.spec
        network, has = with_weights(spec, load(backbone), str(self.backbone_folder(recipe.backbone)))
        if has is None or (source_of(spec).has_own_classes(spec) and not is_trained(recipe.adaptation)):
            has = count_outputs(self._classifier(recipe, network, backbone, None), recipe.images.input_shape)
        return network.cpu(), has

    def _with_head(
        self, recipe: Recipe, network: "nn.Module", has: int, outputs: Outputs | None, adapter: str
    ) -> "nn.Module":
        """``network`` before adaptation: with a new head, or an untrained model's old, of ``has`` outputs."""
        from adapters.backbones.networks import replace_head
        from adapters.cache.own_head import with_own_head

        if recipe.backbone.probe is not None:
            return network
        if is_trained(recipe.adaptation):
            return replace_head(network, len(recipe.images.classes))
        return with_own_head(recipe, network, has, outputs, adapter)

    def has_backbone(self, backbone: Backbone) -> bool:
        """Whether the weights of ``backbone`` are there."""
        return read_card(self.backbone_folder(backbone)) is not None

    @within("backbone")
    def ensure_backbone(self, backbone: Backbone) -> None:
        """Train or fetch the backbone's weights if they are not there yet."""
        folder = self.backbone_folder(backbone)
        if not self.has_backbone(backbone):
            if backbone.probe:
                self.ensure_backbone(backbone.unprobed)
            with alone(folder, "the backbone"):
                if not self.has_backbone(backbone):
                    self._make_backbone(backbone, folder)

    def _make_backbone(self, backbone: Backbone, folder: Path) -> None:
        if backbone.probe:
            self._train_head(backbone, backbone.probe, folder)
        elif backbone.pretraining:
            self._pretrain(backbone, folder)
        else:
            self._fetch(backbone, folder)

    def backbone_folder(self, backbone: Backbone) -> Path:
        """Where the weights of ``backbone`` are, or will be."""
        return self.cache / "backbones" / backbone.key

    def _backbone_card(self, backbone: Backbone) -> Card:
        """The card of ``backbone``, which has been ensured."""
        folder = self.backbone_folder(backbone)
        if (card := read_card(folder)) is None:
            raise ChangedError(f"{folder}: the backbone was removed during the run; run again")
        return card

    def _read_backbone(self, backbone: Backbone) -> bytes:
        """The weights of ``backbone``, which has been ensured."""
        folder = self.backbone_folder(backbone)
        try:
            return read_whole(folder)[WEIGHTS]
        except (OSError, ValueError, KeyError) as error:
            what = f"{folder}: the backbone was removed or damaged during the run ({error}); run again"
            raise ChangedError(what) from None

    @within("pretrain")
    def _pretrain(self, backbone: Backbone, folder: Path) -> None:
        from adapters.backbones.networks import build_backbone, preprocessing_of
        from adapters.cache.checks import check_input

        assert backbone.pretraining is not None  # noqa: S101 (the caller has looked)
        images = backbone.pretraining.images
        network = build_backbone(backbone.spec, len(images.classes), backbone.seed)
        expects = _made_for(preprocessing_of(backbone.spec), images)
        classifier = self._wrap(network, backbone.spec, expects, images)
        check_input(classifier, images.input_shape)
        title, key = f"backbone ({len(images.classes)} source classes)", backbone.key
        history = self._fit(classifier, backbone.pretraining, backbone.seed, title, key)
        card = Card("", "scratch", 0, 0, history.losses, _of_the_backbone(history), expects, history.robust)
        self._keep(backbone, folder, network.cpu(), card)
        self._state(key).unlink(missing_ok=True)

    def _train_head(self, backbone: Backbone, probe: Probe, folder: Path) -> None:
        """Train a new head alone on ``backbone``, which stays as it is."""
        from safetensors.torch import load

        from adapters.backbones.networks import replace_head, with_weights
        from adapters.methods.adaptation import adapt

        known, below = self._backbone_card(backbone.unprobed), self._read_backbone(backbone.unprobed)
        classes, where = len(probe.images.classes), str(self.backbone_folder(backbone.unprobed))
        network = replace_head(with_weights(backbone.spec, load(below), where)[0], classes)
        network = adapt(network, HeadSpec(method="head"), probe.seed)
        classifier = self._wrap(network, backbone.spec, _expected(known), probe.images)
        history = self._fit(classifier, probe, probe.seed, f"head ({classes} classes)", backbone.key)
        notes = (*known.notes, *_of_the_backbone(history))
        card = replace(known, losses=history.losses, notes=notes, robust=history.robust)
        self._keep(backbone, folder, network.cpu(), card)
        self._state(backbone.key).unlink(missing_ok=True)

    def _fetch(self, backbone: Backbone, folder: Path) -> None:
        from adapters.backbones.networks import fetch_backbone, preprocessing_of

        expects = preprocessing_of(backbone.spec)
        network, notes = fetch_backbone(backbone.spec, backbone.seed)
        method = "pretrained" if backbone.spec.weights else "random"
        self._keep(backbone, folder, network, Card("", method, 0, 0, (), notes, expects))

    def _keep(self, backbone: Backbone, folder: Path, network: "nn.Module", known: Card) -> None:
        """Write ``network`` with its card: what is ``known``, its parameters, and a hash of what was written.

        The weights carry what they expect of an image: it is part of the content of every model on them.
        """
        from adapters.backbones.networks import save_backbone
        from adapters.methods.adaptation import count_parameters

        with new_folder(folder) as temporary:
            save_backbone(network, temporary / WEIGHTS, _expected(known))
            count = count_parameters(network, trainable=False)
            sha = sha256_of_backbone(backbone, sha256_of_file(temporary / WEIGHTS))
            write_card(temporary, replace(known, sha256=sha, trainable_parameters=count, parameters=count))
            check_unchanged("the backbone", self.backbone_folder(backbone), folder)

    def _state(self, key: str) -> Path:
        """Where an unfinished training of ``key`` is kept."""
        return self.cache / "unfinished" / f"{key}.pt"

    def _classifier(
        self, recipe: Recipe, network: "nn.Module", backbone: bytes, outputs: Outputs | None
    ) -> "Classifier":
        from adapters.backbones.networks import saved_preprocessing

        expects = saved_preprocessing(backbone)
        assert expects is not None  # noqa: S101 (every backbone is written with it)
        return self._wrap(network, recipe.backbone.spec, expects, recipe.images, outputs)

    def _wrap(
        self,
        network: "nn.Module",
        spec: BackboneSpec,
        expects: Preprocessing,
        images: ImageSet,
        outputs: Outputs | None = None,
    ) -> "Classifier":
        """``network`` for the size and the classes of ``images``."""
        from adapters.classifier import Classifier

        side, classes = side_inside(spec, images.input_shape[-1]), len(images.classes)
        return Classifier(
            network, mean=expects.mean, std=expects.std, num_classes=classes, outputs=outputs, side=side
        ).to(self.device)


def _write_tuned(
    folder: Path, network: "nn.Module", base: "Base", expects: Preprocessing, outputs: Outputs | None
) -> None:
    """Write into ``folder`` what tuning changed of ``network``, and the classes' ``outputs`` if not all."""
    from adapters.methods.adaptation import save_adapted

    save_adapted(network, base, folder, expects)
    if outputs is not None:
        (folder / OUTPUTS_FILE).write_text(outputs.to_json(), encoding="utf-8")


def _of_the_backbone(history: History) -> tuple[str, ...]:
    """What its training has to say, as a model says it that is built on it."""
    return tuple(f"backbone: {note}" for note in history.notes)


def _expected(card: Card) -> Preprocessing:
    """What is noted on ``card``."""
    assert card.preprocessing is not None  # noqa: S101 (every card has one since RECIPE_VERSION 3)
    return card.preprocessing


def _made_for(expects: Preprocessing, images: ImageSet) -> Preprocessing:
    """What weights expect that start with ``expects`` and are trained on ``images``."""
    resize, interpolation = images.facts.way or (None, None)
    return replace(expects, size=images.input_shape[-1], resize=resize, interpolation=interpolation)


@within("backbone")
def _check_head(classifier: "Classifier", recipe: Recipe) -> None:
    """Raise ModelError if the layer that will be replaced is not the network's head."""
    from adapters.cache.checks import check_head, count_outputs

    check_head(classifier.network, count_outputs(classifier, recipe.images.input_shape))


def _check_fit(classifier: "Classifier", recipe: Recipe) -> None:
    from adapters.cache.checks import check_input, check_reached

    check_input(classifier, recipe.images.input_shape)
    check_reached(classifier, recipe.images.input_shape)
