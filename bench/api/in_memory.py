"""Models and images that exist already, in Python: what ``bench.evaluate`` attacks."""

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from torch import nn

from adapters.backbones.choosing import ONE_LOGIT
from adapters.cache.card import Card
from adapters.cache.checks import check_input, check_model, count_outputs
from adapters.cache.own_head import note_on_outputs
from adapters.cache.recipe import Backbone, Recipe
from adapters.classifier import Classifier, tensors
from adapters.defences.defended import Defended
from adapters.errors import ModelError
from adapters.images import ImageSet
from adapters.preprocessing import Preprocessing
from adapters.spec import BackboneSpec, NoneSpec, TrainingSpec
from bench.engine.job import Job
from bench.errors import UserError
from bench.ids import ModelId
from bench.suite.suite import Suite

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

PROBE = 8
"""Images on which a model is checked."""


@dataclass(frozen=True)
class InMemoryModels:
    """Models by name, in eval mode on ``device``: a ModelSource that trains nothing and keeps nothing."""

    models: Mapping[str, Classifier]
    samples: ImageSet
    device: str

    def check(self, recipe: Recipe) -> None:
        """Raise ModelError if the model cannot take the images, or does not give a logit for each class."""
        check_input(self.models[recipe.name], self.samples.input_shape)

    def ensure(self, recipe: Recipe) -> Card:
        """What is known of the model; its sha256 covers its weights and how it is built."""
        model = self.models[recipe.name]
        counts = [p.numel() for p in model.parameters()]
        trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
        mean, std = ((*tensor.flatten().tolist(),) * 3 for tensor in (model.mean, model.std))
        expects = Preprocessing(mean[:3], std[:3], "suite")
        notes = (
            (note_on_outputs(recipe, ONE_LOGIT),)
            if model.read_out is not None and model.read_out.of == 1
            else ()
        )
        return Card(_sha256(recipe.name, model), "given", trainable, sum(counts), (), notes, expects)

    def card(self, recipe: Recipe) -> Card:
        """As ``ensure``: every model is there."""
        return self.ensure(recipe)

    def files(self, recipe: Recipe) -> dict[str, str]:  # noqa: ARG002 (the interface of every source of models)
        """None: the models lie in memory."""
        return {}

    def folder(self, recipe: Recipe) -> "Path":
        """Raises ModelError: the models lie in memory."""
        raise ModelError(f"{recipe.name} was given in Python and has no folder")

    def load(self, recipe: Recipe, sha256: str) -> Classifier:
        """A copy of the model of the content ``sha256``.

        Raises ModelError if it was changed, or is not fit to be attacked.
        """
        model = copy.deepcopy(self.models[recipe.name])
        if _sha256(recipe.name, model) != sha256:
            raise ModelError(
                f"{recipe.name}: its weights were changed while it was evaluated; evaluate it again"
            )
        probe, _ = tensors(self.samples.take(_first(PROBE, self.samples)), model.device)
        check_model(model, probe, trained=False)
        return model

    def unadapted(self, recipe: Recipe, sha256: str) -> None:
        """None: nobody knows what a given model was trained from."""


def _first(count: int, samples: ImageSet) -> "npt.NDArray[np.int64]":
    import numpy as np

    return np.arange(min(count, len(samples)))


def _sha256(name: str, model: Classifier) -> str:
    """Content hash of the name, the weights, the normalisation, and the structure as the network prints it.

    What a network does is more than these tell (a constant in its forward), so that two are never taken for
    one: by the name.
    """
    digest = hashlib.sha256(f"{name}\n{type(model.network)}\n{model.network}".encode())
    for name, tensor in {**model.state_dict(), "mean": model.mean, "std": model.std}.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(-1).numpy().tobytes())
    return digest.hexdigest()


def as_classifier(
    model: nn.Module,
    samples: ImageSet,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    device: str,
) -> Classifier:
    """A copy of ``model`` as a Classifier of ``samples`` on ``device``, in eval mode.

    Its one output may stand for two classes. Raises UserError if ``model`` is none, or normalised twice.
    """
    if not isinstance(model, nn.Module):
        raise UserError(
            f"model: {type(model).__name__} is not a torch.nn.Module; give the network, or names and networks"
        )
    model = copy.deepcopy(model)
    if isinstance(model, Defended):
        raise UserError(
            "model: has defences around it; give what it is made of, and the defences as 'defended'"
        )
    if isinstance(model, Classifier):
        if mean is not None or std is not None:
            raise UserError("mean, std: this Classifier has its own normalisation; drop them")
        return model.to(device).eval()
    classes = len(samples.classes)
    wrapped = partial(Classifier, model, mean=mean or (0.0,), std=std or (1.0,), num_classes=classes)
    whole = wrapped().to(device).eval()
    if classes == 2 and _gives_one_logit(whole, samples.input_shape):
        return wrapped(outputs=ONE_LOGIT).to(device).eval()
    return whole


def _gives_one_logit(classifier: Classifier, shape: tuple[int, int, int]) -> bool:
    try:
        return count_outputs(classifier, shape) == 1
    except ModelError:
        return False  # it is said when the model is checked, with its name


def given_job(suite: Suite, samples: ImageSet) -> Job:
    """The job that attacks given models on ``samples``: recipes train nothing and name nothing on disk."""
    recipes = {
        ModelId(model.name, 0): Recipe(
            model.name,
            Backbone(BackboneSpec(), None, 0),
            NoneSpec(method="none"),
            TrainingSpec(),
            samples.none_of_them(),
            0,
        )
        for model in suite.models
        if not model.of
    }
    return Job(suite, samples, recipes)
