"""The models of a suite, as declared: what each adapts, and how."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from adapters.declaration import Strict
from adapters.spec import Adaptation, BackboneSpec, FullSpec, TrainingSpec
from bench.data.spec import DataSpec
from bench.engine.expectation import Expected

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME)]


class PretrainSpec(Strict):
    """The backbone is trained here first, from scratch, on ``data``: its source classes."""

    data: DataSpec
    training: TrainingSpec = TrainingSpec()
    seed: int = 0


class SuiteBackbone(BackboneSpec):
    """The network that models adapt: with published weights, with those of a file, or trained here."""

    pretrain: PretrainSpec | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> "SuiteBackbone":
        if self.weights and self.pretrain:
            raise PydanticCustomError("origin", "has both weights and pretrain; give one of them")
        return self


class OwnNetwork(Strict):
    """A network of its own instead of the suite's: ``backbone``, or ``weights`` alone for the suite's with other weights."""

    backbone: SuiteBackbone | None = None
    weights: str | None = None

    @property
    def weights_file(self) -> Path | None:
        """The file that ``weights`` names, where it is one."""
        return BackboneSpec(weights=self.weights).weights_file

    @model_validator(mode="after")
    def _one_network(self) -> "OwnNetwork":
        if self.backbone and self.weights:
            raise PydanticCustomError("origin", "has both backbone and weights; give the weights within its backbone")
        return self


class ModelSpec(OwnNetwork):
    """One model: an adaptation of a backbone to the suite's data. ``training`` overrides the suite's, key by key."""

    name: Name
    adaptation: Adaptation = FullSpec()
    training: TrainingSpec | None = None
    expect_accuracy: Expected | None = None
    """The clean accuracy of this model, as far as it is known: the run stops before any attack where it is missed."""


def network_of(model: OwnNetwork, common: SuiteBackbone | None) -> SuiteBackbone | None:
    """What ``model`` adapts, in a suite whose backbone is ``common``; None if nobody says. Raises ValidationError."""
    if model.weights is None or common is None:
        return model.backbone or common
    shared = common.model_dump(exclude={"weights", "pretrain", "key", "prefix"}, exclude_unset=True)
    return SuiteBackbone.model_validate({**shared, "weights": model.weights}).running(common.code)
