"""The models of a suite, as declared: what each adapts, and how, or what stands around others."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from adapters.declaration import Declaration
from adapters.defences.base import members_problem
from adapters.defences.registry import AnyDefence
from adapters.defences.stack import Stack
from adapters.methods.registry import Declared
from adapters.spec import BackboneSpec, FullSpec, TrainingSpec
from bench.data.spec import DataSpec
from bench.suite.expectation import Expected

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME)]
WEIGHTS_OF_ITS_OWN = ("adaptation", "training", "backbone", "weights", "key", "prefix")
"""What says how the weights of a model come about: none of it is for a model that has those of others."""


class PretrainSpec(Declaration):
    """The backbone is trained here first, from scratch, on ``data``: its source classes."""

    data: DataSpec
    training: TrainingSpec = TrainingSpec()
    seed: int = 0

    @field_validator("training")
    @classmethod
    def _whole(cls, training: TrainingSpec) -> TrainingSpec:
        if training.head_start != "random":
            message = (
                "head_start is of models: a backbone is trained whole, and has no head to train before the"
                " rest"
            )
            raise PydanticCustomError("head_start", "{message}", {"key": "head_start", "message": message})
        return training


class SuiteBackbone(BackboneSpec):
    """The network that models adapt: with published weights, with those of a file, or trained here."""

    pretrain: PretrainSpec | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> "SuiteBackbone":
        if self.weights and self.pretrain:
            raise PydanticCustomError("origin", "has both weights and pretrain; give one of them")
        return self


class OwnNetwork(Declaration):
    """A network other than the suite's: ``backbone``, or ``weights`` for the suite's with other weights.

    ``key`` and ``prefix`` choose within the file of these weights. Those of the suite's backbone are about
    its own file, and are never inherited.
    """

    backbone: SuiteBackbone | None = None
    weights: str | None = None
    key: str | None = None
    prefix: str | None = None

    @property
    def weights_file(self) -> Path | None:
        """The file that ``weights`` names, where it is one."""
        return BackboneSpec(weights=self.weights).weights_file

    @model_validator(mode="after")
    def _one_network(self) -> "OwnNetwork":
        if self.backbone and self.weights:
            raise PydanticCustomError(
                "origin", "has both backbone and weights; give the weights within its backbone"
            )
        chosen = [name for name in ("key", "prefix") if getattr(self, name) is not None]
        if chosen and self.weights_file is None:
            beside = ", within its backbone" if self.backbone else ""
            raise _wrong(
                chosen[0], f"{chosen[0]} chooses within a file; name the file as weights beside it{beside}"
            )
        return self


def _several(value: Any) -> Any:
    """One name is a list of one."""
    return [value] if isinstance(value, str) else value


class ModelSpec(OwnNetwork):
    """One model: an adaptation of a backbone to the suite's data.

    ``training`` overrides the suite's, key by key. Or one with defences: ``defences``, from the image on,
    around the weights of another model or of several, ``of``.
    """

    name: Name
    adaptation: Declared = FullSpec()
    training: TrainingSpec | None = None
    expect_accuracy: Expected | None = None
    """The clean accuracy of this model, if known: the run stops before any attack if it is missed."""
    of: Annotated[tuple[Name, ...], BeforeValidator(_several)] = ()
    defences: tuple[AnyDefence, ...] = ()

    @property
    def stack(self) -> Stack | None:
        """Its defences around the models that it is of; None where it has weights of its own."""
        return Stack(self.defences, self.of) if self.of else None

    @model_validator(mode="after")
    def _weights_of_its_own_or_others(self) -> "ModelSpec":
        if self.defences and not self.of:
            raise _wrong(
                "defences", "defences stand around the weights of another model; name it: 'of: MODEL'"
            )
        if self.of and not self.defences:
            raise _wrong(
                "of",
                f"has the weights of {' and '.join(self.of)} and no defences: give some, or leave the"
                " model out",
            )
        for key in WEIGHTS_OF_ITS_OWN if self.of else ():
            if key in self.model_fields_set:
                raise _wrong(
                    key,
                    f"its weights are those of {' and '.join(self.of)}, as they are trained there; drop"
                    f" {key}",
                )
        if len(set(self.of)) < len(self.of):
            raise _wrong("of", "names a model twice; leave one out")
        return self

    @model_validator(mode="after")
    def _brought_together_once(self) -> "ModelSpec":
        if self.stack is None:
            return self
        combining = [d for d in self.defences if d not in self.stack.transforms]
        if not combining and len(self.of) > 1:
            raise _wrong(
                "defences",
                f"what brings {' and '.join(self.of)} together? Add a last one, like {{defence: average}}",
            )
        if combining and (len(combining) > 1 or self.defences[-1] is not combining[0]):
            raise _wrong(
                "defences",
                f"{combining[0].defence} brings models together: it has to be the last, and the only one that"
                " does",
            )
        if combining and (problem := members_problem(combining[0], self.of)):
            raise _wrong("of", problem)
        return self

    @model_serializer(mode="wrap")
    def _as_declared(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what has no place in a model of its kind, or is not chosen.

        So it is as it was written before there was either.
        """
        out = set(WEIGHTS_OF_ITS_OWN if self.of else ("of", "defences"))
        out |= {name for name in ("key", "prefix") if getattr(self, name) is None}
        return {key: value for key, value in plain(self).items() if key not in out}


def _wrong(key: str, message: str) -> PydanticCustomError:
    return PydanticCustomError("model", "{message}", {"message": message, "key": key})


def network_of(model: OwnNetwork, common: SuiteBackbone | None) -> SuiteBackbone | None:
    """What ``model`` adapts, in a suite whose backbone is ``common``; None if nobody says.

    Raises ValidationError.
    """
    if model.weights is None or common is None:
        return model.backbone or common
    shared = common.model_dump(exclude={"weights", "pretrain", "key", "prefix"}, exclude_unset=True)
    own = {"weights": model.weights, "key": model.key, "prefix": model.prefix}
    return SuiteBackbone.model_validate({**shared, **own}).running(common.code)
