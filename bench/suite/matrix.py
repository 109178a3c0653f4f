"""``matrix:`` in a suite: one model for each combination of method, rank, alpha and targets."""

from itertools import product
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from adapters.methods.registry import OnLayers, on_layers
from adapters.spec import Targets, TrainingSpec
from bench.suite.models import OwnNetwork


class Matrix(OwnNetwork):
    """The axes. Each model is named method-targets, and -rR and -aALPHA where there are several of them.

    ``targets`` gives each choice of layers a short name: {fc: [fc], stem: [conv1], all: ".*"}. A method
    without a rank or an alpha has one model for all of them. The suite's ``seeds`` repeat every model.
    """

    method: Annotated[tuple[OnLayers, ...], Field(min_length=1)] = ("lora",)
    r: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (8,)
    alpha: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (16,)
    targets: Annotated[dict[str, Targets], Field(min_length=1)]
    training: TrainingSpec | None = None

    @model_validator(mode="before")
    @classmethod
    def _seeds_stand_beside(cls, data: Any) -> Any:
        if isinstance(data, dict) and "seeds" in data:
            raise PydanticCustomError(
                "seeds", "seeds stand beside the matrix, and repeat every model: 'seeds: [0, 1, 2]'"
            )
        return data

    @model_validator(mode="after")
    def _each_once(self) -> "Matrix":
        for axis in ("method", "r", "alpha"):
            values = getattr(self, axis)
            if len(set(values)) < len(values):
                raise PydanticCustomError("twice", "{axis} holds a value twice", {"axis": axis})
        return self

    def models(self) -> list[dict[str, Any]]:
        """The models as a suite would declare them one by one."""
        found = {}
        for method, label, r, alpha in product(self.method, self.targets, self.r, self.alpha):
            has = on_layers()[method].model_fields
            name = f"{method}-{label}"
            name += f"-r{r}" if "r" in has and len(self.r) > 1 else ""
            name += f"-a{alpha:.12g}" if "alpha" in has and len(self.alpha) > 1 else ""
            options = {k: v for k, v in (("r", r), ("alpha", alpha)) if k in has}
            found[name] = {
                "name": name,
                "adaptation": {"method": method, "targets": self.targets[label], **options},
            }
        common = self.model_dump(
            include={"training", *OwnNetwork.model_fields}, exclude_unset=True, exclude_none=True
        )
        return [{**model, **common} for model in found.values()]


def expand(suite: dict[str, Any]) -> dict[str, Any]:
    """``suite`` with the models of its matrix written out after its own, and no matrix any more."""
    if suite.get("matrix") is None:
        return suite
    try:
        matrix = Matrix.model_validate(suite["matrix"])
    except ValidationError:
        return suite  # the suite's own validation says what is wrong with it
    models = suite.get("models") or []
    return (
        {**suite, "matrix": None, "models": [*models, *matrix.models()]}
        if isinstance(models, list)
        else suite
    )
