"""The networks that a suite's models adapt: the images that they are made for, and what they start from."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar, cast

from adapters.backbones.sources import has_weights, source_of
from adapters.cache.recipe import Backbone, Pretraining
from adapters.images import ImageSet
from adapters.preprocessing import Preprocessing
from bench import data
from bench.data.leaks import about_training
from bench.errors import UserError, asked_at
from bench.suite.models import PretrainSpec, SuiteBackbone
from bench.suite.suite import Suite

if TYPE_CHECKING:
    from bench.data.spec import Interpolation

T = TypeVar("T")


@dataclass(frozen=True)
class Network:
    """What the model ``i`` of ``suite`` adapts; ``spec`` is its declaration."""

    suite: Suite
    i: int

    @property
    def spec(self) -> SuiteBackbone:
        """As declared: its own, or the suite's."""
        return self.suite.backbone_of(self.suite.models[self.i])

    def asked_at(self, *keys: str) -> AbstractContextManager[None]:
        """What is not available in here was asked for at ``keys`` of what the model adapts."""
        model = self.suite.models[self.i]
        own = ("models", self.i) if model.backbone or model.weights else ()
        return asked_at(*own, "backbone", *keys)

    @cached_property
    def expects(self) -> Preprocessing | None:
        """The images that its weights, or its constructor's arguments, ask for; None where nothing does.

        Raises SuiteError for what no network of that name takes.
        """
        spec = self.spec
        with self.asked_at():
            if not has_weights(spec) and not spec.kwargs:
                return None
            from adapters.backbones.networks import preprocessing_of

            source_of(spec).check(spec)
            return preprocessing_of(spec)


def networks_of(suite: Suite) -> list[Network]:
    """What each model of ``suite`` adapts that has weights of its own."""
    return [Network(suite, i) for i, model in enumerate(suite.models) if not model.of]


def images_for(suite: Suite, networks: Sequence[Network]) -> tuple[int | None, data.Fit | None]:
    """The side in pixels of ``suite``'s images, and the way to it, as far as its models' weights ask for any.

    Weights that are published with a way are followed at their own size: it cuts off a margin that smaller
    images do not have. Raises SuiteError where two models ask for different ones, and the suite does not say
    which: all see the same images.
    """
    asked = {suite.models[network.i].name: network.expects for network in networks}
    free = {
        suite.models[network.i].name for network in networks if network.spec.input_size
    }  # it scales them itself
    asked = {name: e for name, e in asked.items() if name not in free}
    sizes = {name: e.size for name, e in asked.items() if e and e.size}
    size = suite.data.size or _agreed(sizes, "images of different sizes", "size")
    ways = {name: _way(suite.data, e) for name, e in asked.items() if e and e.size == size and e.resize}
    fit = _agreed(ways, "images that are cut out in different ways", "interpolation and crop_pct")
    return size, fit


def _way(spec: data.DataSpec, expects: Preprocessing) -> data.Fit:
    """The way that ``expects`` asks for, but for what ``spec`` says itself."""
    assert expects.size is not None  # noqa: S101 (the caller has looked)
    assert expects.resize is not None  # noqa: S101
    own = data.Fit(expects.size, expects.resize, cast("Interpolation", expects.interpolation or "bilinear"))
    return data.way_to(expects.size, spec, own)


def _agreed(asked: Mapping[str, T], what: str, keys: str) -> T | None:
    """What all of ``asked``, by model, ask for; None if nothing does."""
    if len(set(asked.values())) > 1:
        said = "; ".join(f"{name}: {value}" for name, value in asked.items())
        with asked_at("data"):
            inside = (
                "; a network that takes one size alone, or has an input_size, then scales inside"
                if keys == "size"
                else ""
            )
            raise UserError(
                f"the models' weights are made for {what} ({said}); give {keys} here, for all of them{inside}"
            )
    return next(iter(asked.values()), None)


class Sources:
    """What backbones are trained on here first, each loaded once; ``notes`` say what of ``samples`` is in it.

    ``samples`` are attacked. Raises SuiteError if more of them would be trained on than can be by chance.
    """

    def __init__(
        self, places: data.Places, size: int | None, fit: data.Fit | None, samples: ImageSet
    ) -> None:
        self.notes: tuple[str, ...] = ()
        self._places, self._size, self._fit, self._samples = places, size, fit, samples
        self._loaded: dict[PretrainSpec, Pretraining] = {}

    def backbones(self, network: Network) -> dict[int, Backbone]:
        """The backbone at each training seed: one public model, or a random start that follows the seed."""
        spec, seeds = network.spec, network.suite.seeds
        if spec.pretrain is None:
            with network.asked_at():
                return {seed: Backbone(spec, None, 0 if has_weights(spec) else seed) for seed in seeds}
        if spec.pretrain not in self._loaded:
            with network.asked_at("pretrain", "data"):
                self._loaded[spec.pretrain] = self._load(spec.pretrain, network.suite.data)
        return dict.fromkeys(seeds, Backbone(spec, self._loaded[spec.pretrain], spec.pretrain.seed))

    def _load(self, pretrain: PretrainSpec, attacked: data.DataSpec) -> Pretraining:
        declared, side = pretrain.data, self._samples.input_shape[1]
        source = seen = data.load(declared, "all", self._places, size=self._size, fit=self._fit)
        way = {"size": side, "crop_pct": attacked.crop_pct, "interpolation": attacked.interpolation}
        if way != {
            "size": source.input_shape[1],
            "crop_pct": declared.crop_pct,
            "interpolation": declared.interpolation,
        }:
            seen = data.load(
                declared.model_copy(update=way), "all", self._places, fit=self._fit
            )  # as it would be attacked
        self.notes += about_training(self._samples, seen, before=True)
        return Pretraining(pretrain.training, source)
