"""YAML -> a typed, frozen Suite. Every error says file:line, what is wrong, and the fix."""

import json
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from adapters.declaration import Declaration, did_you_mean
from adapters.defences.stack import Stack
from adapters.spec import Precision, TrainingSpec
from bench.attacks.registry import BOTH, Carrier, Library, default_libraries
from bench.attacks.spec import Attack, AttackSpec, carriers_of, libraries_of
from bench.data.spec import DataSpec
from bench.eps import Eps, EpsGrid, eps_text
from bench.errors import SuiteError, UserError
from bench.suite import yaml_lines
from bench.suite.adapting import Adapt, DrawsSpec
from bench.suite.gate import Gate
from bench.suite.matrix import Matrix, expand
from bench.suite.models import ModelSpec, Name, SuiteBackbone, network_of

MAPPINGS: dict[str | int, str] = {
    "backbone": "{architecture: resnet18, weights: FILE}",
    "data": "{source: imagefolder, path: FOLDER}",
    "adaptation": "{method: none}, or {method: peft, path: FOLDER}",
    "attacks": "{attack: fgsm}",
}
"""What a mapping looks like where people write a name instead."""
MAX_ERRORS = 20
MAX_SEEDS = 100
"""Each is a training of every model: far more than any interval gains from."""


def _off(value: Any) -> Any:
    """YAML reads a bare ``off`` as false."""
    return "off" if value is False else value


class Suite(Declaration):
    """One question: how robust these models are against these attacks.

    ``trust`` says how far the cells are checked for attacks that fail silently: by stored numbers alone
    ("off"), with controls that cost about a tenth of the attacks ("fast"), or with larger controls through
    every library ("full").
    """

    name: Name
    description: str = ""
    data: DataSpec
    backbone: SuiteBackbone | None = None
    """What every model adapts that has none of its own."""
    training: TrainingSpec = TrainingSpec()
    models: tuple[ModelSpec, ...] = ()
    matrix: Matrix | None = None
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, max_length=MAX_SEEDS)] = (
        0,
    )
    attacks: Annotated[tuple[AttackSpec, ...], Field(min_length=1)]
    eps: EpsGrid
    headline_eps: Eps | None = None
    transfer: bool = False
    """Also try each model's adversarials on every other model."""
    libraries: Annotated[tuple[Library, ...], Field(min_length=1)] = default_libraries()
    seed: Annotated[int, Field(ge=0)] = 0
    batch_size: Annotated[int, Field(ge=1)] | None = None
    """Samples attacked at once; by default what suits the machine: on a GPU the most that fit.

    No answer depends on it.
    """
    precision: Precision = "fp32"
    """In what the adversarials are crafted: float32, tf32 (NVIDIA GPUs) or bf16.

    They are always judged in float32.
    """
    gate: Gate = Gate()
    time_limit: Annotated[float, Field(gt=0)] | None = None
    """Seconds that a unit (model, seed, attack, library: all eps) may take; beyond, its cells are errors."""
    trust: Annotated[Literal["off", "fast", "full"], BeforeValidator(_off)] = "fast"
    adapt: Adapt = "auto"
    draws: DrawsSpec = DrawsSpec()

    @model_validator(mode="before")
    @classmethod
    def _inherit_training(cls, data: Any) -> Any:
        """Write out the matrix, and give each model the suite's training, but for keys it sets itself."""
        data = expand(data) if isinstance(data, dict) else data
        if not isinstance(data, dict) or not isinstance(data.get("models"), list):
            return data
        common = data.get("training")
        models = [_inherit(common, model) for model in data["models"]]
        return {**data, "models": models}

    @model_validator(mode="after")
    def _consistent(self) -> "Suite":
        if not self.models:
            raise _error(("models",), "there is no model; give at least one in models, or a matrix of them")
        _unique([m.name for m in self.models], ("models",), "model name")
        self._check_backbones()
        self._check_defended()
        _unique([a.label for a in self.attacks], ("attacks",), "attack name")
        _unique(list(self.seeds), ("seeds",), "seed")
        for i, attack in enumerate(self.attacks):
            _check_libraries(attack, self.libraries, i)
            _check_eps(
                self.grid(attack), attack.norm, ("eps",) if attack.eps is None else ("attacks", i, "eps")
            )
        if self.transfer and len(self.models) == 1:
            raise _error(
                ("transfer",), "there is one model only, and nothing to transfer between; give at least two"
            )
        self._check_headline()
        return self

    @model_serializer(mode="wrap")
    def _as_declared(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What speaks of defences is left out where there are none, as it was before there were any."""
        out = set() if any(model.of for model in self.models) else {"adapt", "draws"}
        return {key: value for key, value in plain(self).items() if key not in out}

    def _check_defended(self) -> None:
        """Defences stand around models of this suite that have weights of their own."""
        own = [model.name for model in self.models if not model.of]
        around = {model.name: model.of for model in self.models if model.of}
        for i, model in enumerate(self.models):
            for name in model.of:
                if name in around:
                    fix = f"write {' and '.join(around[name])} in its place, and list all defences here"
                    raise _error(
                        ("models", i, "of"),
                        f"'{name}' has defences itself, and only weights can be defended; {fix}",
                    )
                if name not in own:
                    raise _error(
                        ("models", i, "of"),
                        f"'{name}' is not a model of this suite; {did_you_mean(name, own)}",
                    )

    def _check_backbones(self) -> None:
        for i, model in enumerate(self.models):
            if model.of:
                continue
            if model.weights is not None and self.backbone is None:
                raise _error(
                    ("models", i, "weights"),
                    "the suite has no backbone to put these weights on; give a backbone here",
                )
            if network_of(model, self.backbone) is None:
                raise _error((), "the key 'backbone' is missing: the suite's, or one in each model")

    def stack_of(self, model: str) -> Stack | None:
        """The defences of ``model``, by name; None where it has none."""
        return next(m.stack for m in self.models if m.name == model)

    def backbone_of(self, model: ModelSpec) -> SuiteBackbone:
        """What ``model`` adapts: a network of its own, or the suite's."""
        found = network_of(model, self.backbone)
        assert found is not None  # noqa: S101 (checked when the suite is read)
        return found

    def _check_headline(self) -> None:
        """Models are ranked by the worst case at one eps: in one norm, or it would be of no threat model."""
        ranking = [(i, attack) for i, attack in enumerate(self.attacks) if self.headline in self.grid(attack)]
        if not ranking:
            raise _error(
                ("headline_eps",), f"no attack of this suite is run at eps {eps_text(self.headline)}"
            )
        first = ranking[0][1]
        for i, attack in ranking:
            if attack.norm != first.norm:
                message = (
                    f"'{attack.label}' is in {attack.norm} and '{first.label}' in {first.norm}, both at the"
                    f" headline eps {eps_text(self.headline)}: models would be ranked by a mixture; give it"
                    " an eps of its own"
                )
                raise _error(("attacks", i), message)

    def grid(self, attack: Attack) -> tuple[Fraction, ...]:
        """The eps of ``attack``, ascending."""
        return tuple(sorted(attack.eps or self.eps))

    def carriers_of(self, attack: Attack) -> tuple[Carrier, ...]:
        """What carries out ``attack``: a unit a library, or one through several if it is an ensemble."""
        allowed = (*(attack.libraries or self.libraries), BOTH)
        return tuple(carrier for carrier in carriers_of(attack) if carrier in allowed)

    @property
    def headline(self) -> Fraction:
        """The eps at which models are ranked: ``headline_eps``, or the middle one of the grid."""
        return self.headline_eps or sorted(self.eps)[len(self.eps) // 2]


def _inherit(common: Any, model: Any) -> Any:
    if not isinstance(common, dict) or not isinstance(model, dict) or "of" in model:
        return model
    own = model.get("training", {})
    return {**model, "training": _merged(common, own)} if isinstance(own, dict) else model


def _merged(common: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """``common`` with the keys of ``own`` in their place, at every depth."""
    both = {
        key: _merged(common[key], own[key])
        for key in own
        if isinstance(own[key], dict) and isinstance(common.get(key), dict)
    }
    return {**common, **own, **both}


def _unique(values: Sequence[object], where: tuple[str, ...], what: str) -> None:
    seen: set[object] = set()
    for i, value in enumerate(values):
        if value in seen:
            fix = "give each its own name" if what.endswith("name") else "leave one out"
            raise _error((*where, i), f"duplicate {what} '{value}'; {fix}")
        seen.add(value)


def _check_libraries(attack: Attack, libraries: tuple[Library, ...], i: int) -> None:
    has = libraries_of(attack)
    what = f"'{attack.attack}' in {attack.norm}; it is in: {', '.join(has)}"
    for library in attack.libraries or ():
        if library not in has:
            raise _error(("attacks", i), f"{library} has no attack {what}")
    if attack.members and set(has) - set(attack.libraries or libraries):
        raise _error(("attacks", i), f"'{attack.attack}' needs {' and '.join(has)}; add them to libraries")
    if not set(attack.libraries or libraries) & set(has):
        raise _error(("attacks", i), f"no library of this suite has {what}")


def _check_eps(grid: tuple[Fraction, ...], norm: str, where: tuple[str | int, ...]) -> None:
    _unique([eps_text(eps) for eps in grid], tuple(str(w) for w in where), "eps")
    if norm == "linf" and grid[-1] > 1:
        hint = f"; did you mean {grid[-1]}/255?" if grid[-1].denominator == 1 else ""
        raise _error(where, f"eps {eps_text(grid[-1])} is larger than the whole pixel range [0, 1]{hint}")


def _error(where: tuple[str | int, ...], message: str) -> PydanticCustomError:
    """A validation error of the whole suite that points to a place within it."""
    return PydanticCustomError("suite", "{message}", {"message": message, "where": where})


def load_suite(path: Path) -> Suite:
    """The suite in the YAML file ``path``. Raises UserError for anything that cannot be run."""
    return _validated(yaml_lines.read(path))


def _validated(document: yaml_lines.Document) -> Suite:
    try:
        return Suite.model_validate(document.data)
    except ValidationError as error:
        found = list(_explain(error, document))
        more = [f"and {len(found) - MAX_ERRORS} more"] if len(found) > MAX_ERRORS else []
        raise UserError("\n".join(found[:MAX_ERRORS] + more)) from None


def suite_from(data: Mapping[str, Any]) -> Suite:
    """The suite that ``data`` declares, as a suite's file would.

    Raises UserError for anything that cannot be run.
    """
    return _validated(yaml_lines.without_file(dict(data), "suite"))


def place_of(path: Path, error: SuiteError) -> str:
    """``file:line`` of what ``error`` is about, in the suite at ``path``."""
    document = yaml_lines.read(path)
    return document.locate(_written(error.where, document))[0]


def _written(where: yaml_lines.Loc, document: yaml_lines.Document) -> yaml_lines.Loc:
    """Where the suite's author wrote what stands at ``where``.

    What a model does not say itself it has from the suite, and models that nobody wrote are the matrix'.
    """
    if where[:1] != ("models",) or len(where) == 1:
        return where
    shared, weights = where[2:], (*where[:2], "weights")
    if shared == ("backbone", "weights") and weights in document.lines:
        return weights
    if (
        shared[:1] in {("training",), ("backbone",)}
        and where[:3] not in document.lines
        and shared[:1] in document.lines
    ):
        return shared
    return where if where[:2] in document.lines else ("matrix",)


def _explain(error: ValidationError, document: yaml_lines.Document) -> Iterator[str]:
    for detail in _own(error.errors(include_url=False), document):
        context = detail.get("ctx", {})
        loc = _written(tuple(context.get("where", detail["loc"])), document)
        if "key" in context:
            loc = (*loc, context["key"])
        kind = detail["type"]
        place, shown = document.locate(loc)
        if kind == "union_tag_invalid":
            place = document.locate((*loc, str(context["discriminator"]).strip("'")))[0]
        message = _message(
            kind, detail["msg"], loc[-1] if kind == "missing" else detail.get("input"), context
        )
        message += _example(kind, loc)
        yield f"{place}: {shown}: {message}" if shown and "key" not in context else f"{place}: {message}"


def _own(details: Sequence[Any], document: yaml_lines.Document) -> Iterator[Any]:
    """Leave out what follows from another error: a list short for a bad entry, a key that models inherit."""
    places = [detail["loc"] for detail in details]
    for detail in details:
        loc = detail["loc"]
        follows = detail["type"] == "too_short" and any(p[: len(loc)] == loc and p != loc for p in places)
        inherited = (
            "training" in loc[1:]
            and loc not in document.lines
            and any(p[0] == "training" for p in places if p)
        )
        if not follows and not inherited:
            yield detail


def _message(kind: str, message: str, value: Any, context: dict[str, Any]) -> str:
    """Pydantic's message in the words of a suite's author."""
    if kind == "missing":
        return f"the key '{value}' is missing"
    if kind in {"model_type", "dict_type", "model_attributes_type"}:
        return "is not a mapping; write keys and values, like "
    if kind == "string_type" and isinstance(value, bool | int | float):
        return f"is {str(value).lower()} to YAML, which is not text; quote it"
    if kind == "tuple_type":
        return "is not a list; write [a, b]"
    if kind in {"literal_error", "union_tag_invalid"}:
        known = [
            k.strip().strip("'")
            for k in str(context.get("expected") or context["expected_tags"]).replace(" or ", ", ").split(",")
        ]
        given = context.get("tag", value)
        return f"unknown value '{str(given)[:40]}'; {did_you_mean(str(given), known)}"
    if kind == "union_tag_not_found":
        return f"the key {context['discriminator']} is missing; it says which kind this is"
    if kind == "too_short":
        return "is empty; give at least one entry" if context.get("actual_length") == 0 else message
    if kind == "too_long":
        return f"has {context['actual_length']} entries; at most {context['max_length']} can be planned"
    if kind == "string_pattern_mismatch":
        return f"'{str(value)[:40]}' is not a name; use letters, digits and . _ + - (at most 64)"
    return message[0].lower() + message[1:]


def _example(kind: str, loc: yaml_lines.Loc) -> str:
    """What a mapping at ``loc`` looks like, or where a key that is unknown there belongs."""
    if kind in {"model_type", "dict_type", "model_attributes_type"}:
        return next((MAPPINGS[name] for name in reversed(loc) if name in MAPPINGS), "'name: my_suite'")
    if kind == "unknown_key" and "adaptation" in loc and loc[-1] == "path":
        return "; an adapter that peft saved is {method: peft, path: FOLDER}"
    return ""


def find_suite(name: str) -> Path:
    """The suite file that ``name`` means: a path, or the name of a shipped suite.

    Raises UserError if there is none.
    """
    if Path(name).is_file():
        return Path(name)
    shipped = {path.stem: path for path in shipped_suites()}
    stem = Path(name).stem
    if stem in shipped and (
        name == stem or not Path(name).parent.is_dir() or Path(name).parent == Path("suites")
    ):
        return shipped[stem]
    raise UserError(f"{name}: no such suite file; {did_you_mean(stem, list(shipped))}")


def shipped_suites() -> list[Path]:
    """Suites that come with the project: beside the packages in a checkout, inside them when installed."""
    here = Path(__file__).parent.parent
    folder = here / "_suites" if (here / "_suites").is_dir() else here.parent / "suites"
    return sorted(folder.glob("*.yaml"))


def schema_text() -> str:
    """The JSON schema of suites, as committed beside them."""
    schema = Suite.model_json_schema()
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"
