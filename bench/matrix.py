"""``matrix:`` in a suite: one model for each combination of method, rank, alpha and targets."""

from itertools import product
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError
from pydantic_core import PydanticCustomError

from adapters.spec import Targets, TrainingSpec, TunedSpec
from adapters.strict import Strict

Method = Literal["lora", "dora", "loha", "lokr", "oft", "boft", "hra"]
SPECS = {get_args(spec.model_fields["method"].annotation)[0]: spec for spec in get_args(TunedSpec)}


class Matrix(Strict):
    """The axes. Each model is named method-targets, and -rR and -aALPHA where there are several of them.

    ``targets`` gives each choice of layers a short name: {fc: [fc], stem: [conv1], all: ".*"}. A method without a rank or an
    alpha has one model for all of them. The suite's ``seeds`` repeat every model.
    """

    method: Annotated[tuple[Method, ...], Field(min_length=1)] = ("lora",)
    r: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (8,)
    alpha: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (16,)
    targets: Annotated[dict[str, Targets], Field(min_length=1)]
    training: TrainingSpec | None = None

    def models(self) -> list[dict[str, Any]]:
        """The models as a suite would declare them one by one."""
        found = {}
        for method, label, r, alpha in product(self.method, self.targets, self.r, self.alpha):
            has = SPECS[method].model_fields
            name = f"{method}-{label}"
            name += f"-r{r}" if "r" in has and len(self.r) > 1 else ""
            name += f"-a{alpha:g}" if "alpha" in has and len(self.alpha) > 1 else ""
            options = {k: v for k, v in (("r", r), ("alpha", alpha)) if k in has}
            found[name] = {"name": name, "adaptation": {"method": method, "targets": self.targets[label], **options}}
        training = {"training": self.training.model_dump(exclude_unset=True)} if self.training else {}
        return [{**model, **training} for model in found.values()]


def expand(suite: dict[str, Any]) -> dict[str, Any]:
    """``suite`` with the models of its matrix written out after its own, and no matrix any more."""
    if suite.get("matrix") is None:
        return suite
    try:
        matrix = Matrix.model_validate(suite["matrix"])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        context = first.get("ctx", {})
        where = ("matrix", *first["loc"], *([context["key"]] if "key" in context else []))
        message = f"the key '{where[-1]}' is missing" if first["type"] == "missing" else first["msg"]
        raise PydanticCustomError("matrix", "{message}", {"message": message, "where": where}) from None
    models = suite.get("models") or []
    return {**suite, "matrix": None, "models": [*models, *matrix.models()]} if isinstance(models, list) else suite
