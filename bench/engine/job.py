"""A suite made concrete: where its data and models lie, its samples, and the recipe of each model."""

import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import platformdirs

from adapters.backbones.sources import source_of
from adapters.cache.recipe import Recipe
from adapters.defences.stack import Stack
from adapters.images import ImageSet
from adapters.spec import is_trained
from bench import data
from bench.attacks.spec import classes_needed
from bench.data.leaks import about_duplicates, about_training
from bench.engine.exported import check_exported
from bench.engine.networks import Sources, images_for, networks_of
from bench.errors import SuiteError, UserError, asked_at
from bench.ids import ModelId
from bench.suite.permission import NO_CODE, Permission
from bench.suite.suite import Suite
from bench.suite.whereabouts import located

T = TypeVar("T")


def default_cache() -> Path:
    """Where trained models are kept: $BENCH_CACHE, or the user's cache folder."""
    return Path(os.environ.get("BENCH_CACHE") or platformdirs.user_cache_dir("lora-robustness-bench"))


def default_places(
    data_root: Path | None = None, cache: Path | None = None, near: tuple[Path, ...] = ()
) -> data.Places:
    """Data sets lie in ``data_root``, or $BENCH_DATA, or the cache folder, where they are downloaded to."""
    cache = cache or default_cache()
    root = data_root or Path(os.environ.get("BENCH_DATA") or cache / "data")
    return data.Places(root, cache / "decoded", near)


@dataclass(frozen=True)
class Job:
    """A suite made concrete: its samples, and a recipe per model with own weights and training seed."""

    suite: Suite
    samples: ImageSet
    recipes: dict[ModelId, Recipe]

    def title(self, model: ModelId) -> str:
        """The name of ``model`` in messages, with its training seed where there are several."""
        return f"{model.name} (seed {model.seed})" if len(self.suite.seeds) > 1 else model.name

    @property
    def packages(self) -> tuple[str, ...]:
        """The distributions that its networks cannot be made without, beside those bench always needs."""
        return tuple(
            sorted({name for r in self.recipes.values() for name in source_of(r.backbone.spec).packages})
        )

    def stack(self, model: ModelId) -> Stack | None:
        """The defences of ``model``; None where it has none."""
        return self.suite.stack_of(model.name)

    def members(self, model: ModelId) -> list[ModelId]:
        """The models whose weights ``model`` has: itself, or those that its defences stand around."""
        stack = self.stack(model)
        return [ModelId(name, model.seed) for name in stack.members] if stack else [model]

    def for_each(self, do: Callable[[Recipe], T]) -> dict[ModelId, T]:
        """What ``do`` makes of each recipe; an error names the model's place in the suite."""
        found = {}
        for model, recipe in self.recipes.items():
            with self.asking_for(model):
                found[model] = do(recipe)
        return found

    def asking_for(self, model: ModelId) -> AbstractContextManager[None]:
        """What is not available in here, the suite asks for by its ``model``."""
        return asked_at("models", [m.name for m in self.suite.models].index(model.name))


def make_job(suite: Suite, places: data.Places | None = None, permission: Permission = NO_CODE) -> Job:
    """Load the data of ``suite`` and write out its recipes; nothing is trained.

    Code runs as far as ``permission`` goes.
    """
    places = places or default_places()
    declared, (suite, lost) = suite, located(suite, places, permission)
    _refuse(error for error in lost if "data" in error.where or "architecture" in error.where)
    networks = networks_of(suite)
    check_exported(suite, networks)
    size, fit = images_for(suite, networks)
    with asked_at("data"):
        trained = any(is_trained(model.adaptation) for model in suite.models if not model.of)
        samples = data.load(suite.data, "test", places, size=size, fit=fit, trained=trained)
        samples = samples.noting(*about_duplicates(samples))
        train = samples.none_of_them()
        if trained:
            train = data.load(suite.data, "train", places, size=samples.input_shape[1], fit=fit)
            samples = samples.noting(*about_training(samples, train))
    _check_classes(suite, len(samples.classes))
    assert train.classes == samples.classes  # noqa: S101 (a source names its classes the same in both parts)
    _refuse(lost)
    sources = Sources(places, size, fit, samples)
    recipes = {
        ModelId(model.name, seed): Recipe(
            name=f"{model.name} (seed {seed})" if len(suite.seeds) > 1 else model.name,
            backbone=backbone,
            adaptation=model.adaptation,
            training=model.training or suite.training,
            images=train,
            seed=seed,
        )
        for model, network in ((suite.models[network.i], network) for network in networks)
        for seed, backbone in sources.backbones(network).items()
    }
    return Job(declared, samples.noting(*sources.notes), recipes)


def _refuse(lost: Iterable[SuiteError]) -> None:
    """Raise the first of what is ``lost``."""
    for error in lost:
        raise error


def _check_classes(suite: Suite, classes: int) -> None:
    """Raise SuiteError if an attack's loss needs more classes than the data have.

    This is found out before training, not after.
    """
    for i, attack in enumerate(suite.attacks):
        if classes < (needed := classes_needed(attack)):
            with asked_at("attacks", i):
                raise UserError(
                    f"'{attack.attack}' ranks {needed} logits (DLR loss); these data have {classes} classes"
                )
