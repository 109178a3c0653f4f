"""Why a number moved: what differs in the provenance of two cells, in words."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import TypeAdapter, ValidationError

from bench.attacks.registry import libraries
from bench.attacks.spec import AttackSpec, parameters
from bench.ids import ModelId
from bench.store import ModelEntry, Origin, RunHeader
from bench.suite.gate import Gate

Kind = Literal["gate", "model", "data", "attack", "library", "environment", "code", "unexplained"]
KINDS: tuple[Kind, ...] = get_args(Kind)

ENVIRONMENT = ("device", "processor", "threads", "platform", "python")
ATTACKING = ("seed", "batch_size")
"""Keys of a suite, beside the attack itself, that can change its adversarials.

Batches that are left to the machine cannot.
"""
GIVEN = ("none", "peft")
"""Ways to adapt that train nothing."""
ASIDE = ("card.json", "README.md")
"""Files of a model that say how it was made, and do nothing in it."""
NOTHING: tuple[Any, ...] = (None, {})
"""What a declaration has for something that it does not mention, whether or not it knew of it."""
_ATTACK: TypeAdapter[Any] = TypeAdapter(AttackSpec)


@dataclass(frozen=True)
class Cause:
    """One difference that can have moved a number, or ("gate") how it is judged.

    ``kind`` "unexplained": nothing that is recorded differs.
    """

    kind: Kind
    text: str

    def __str__(self) -> str:
        word = {"code": "the code", "unexplained": "unexplained"}.get(self.kind, f"{self.kind} drift")
        return f"{word}: {self.text}"


@dataclass(frozen=True)
class Subject:
    """What a number is of: a model, attacked by ``attack`` through ``library``, or (None) unattacked."""

    model: ModelId
    attack: str | None
    library: str | None


@dataclass(frozen=True)
class Made:
    """How a number came about: in the run with this ``header``, by ``origin`` (None where nobody knows)."""

    header: RunHeader
    origin: Origin | None


def drifts(before: Made, after: Made, subject: Subject) -> tuple[Cause, ...]:
    """All that differs between two numbers of ``subject``, but for the code. Empty: they must be equal."""
    runs = before.header, after.header
    found = (
        _model(*runs, subject),
        _data(*runs),
        _attack(*runs, subject),
        _surroundings(before, after, subject),
    )
    return tuple(cause for causes in found for cause in causes)


def code(before: Origin, after: Origin) -> Cause:
    """What to say where nothing drifted: the code, if that differs."""
    if before.get("code") is None or before.get("code") != after.get("code"):
        if before.get("dirty") or after.get("dirty"):
            return Cause("code", "a run was made from uncommitted changes")
        for key, name in (("commit", "commit"), ("bench_version", "bench"), ("code", "sha256")):
            a, b = before.get(key), after.get(key)
            if a != b:
                return Cause("code", f"{name} {_short(a and a[:12])} -> {_short(b and b[:12])}")
    return Cause(
        "unexplained",
        "weights, data, attack, versions, environment and code are equal: a run is not reproducible",
    )


def gates(before: Gate, after: Gate) -> Iterator[Cause]:
    """What to say where a run declares another gate than the one that judges it."""
    changes = _changes(before.model_dump(mode="json"), after.model_dump(mode="json"))
    if changes:
        yield Cause("gate", f"{'; '.join(changes)} (judged as before, until `bench reference update`)")


def _model(before: RunHeader, after: RunHeader, subject: Subject) -> Iterator[Cause]:
    a, b = _entry(before, subject), _entry(after, subject)
    same = a is None or b is None or a.same_as(b)
    name = subject.model
    if same is None:
        yield Cause("model", f"whether {name} is the same model cannot be told: it was named by another rule")
    elif a is not None and b is not None and not same:
        declared = _changes(_declared_model(before, subject), _declared_model(after, subject))
        why = "; ".join(declared) or f"declared the same, {_remade(a, b)}"
        yield Cause("model", f"the weights of {name} differ, {a.sha256[:8]} -> {b.sha256[:8]} ({why})")


def _remade(before: ModelEntry, after: ModelEntry) -> str:
    """What became of a model that is declared as before: trained again, or its given files changed."""
    if before.method not in GIVEN or after.method not in GIVEN:
        return "trained again"
    files = before.files.keys() | after.files.keys()
    changed = {
        name for name in files if before.files.get(name) != after.files.get(name) and not name.endswith(ASIDE)
    }
    parts = [
        part
        for part in ("backbone", "adapter", "code")
        if any(name.startswith(f"{part}/") for name in changed)
    ]
    return f"{' and '.join(parts) or 'its files'} changed"


def _data(before: RunHeader, after: RunHeader) -> Iterator[Cause]:
    if before.data_hash != after.data_hash:
        declared = _changes(before.suite.get("data"), after.suite.get("data"))
        why = "; ".join(declared) or "declared the same: pixels, labels or ids have changed"
        yield Cause("data", f"the samples differ, {before.data_hash[:8]} -> {after.data_hash[:8]} ({why})")


def _attack(before: RunHeader, after: RunHeader, subject: Subject) -> Iterator[Cause]:
    if subject.attack is None:
        return
    changes = _changes(_declared_attack(before, subject.attack), _declared_attack(after, subject.attack))
    stated = [k for k in ATTACKING if None not in (before.suite.get(k), after.suite.get(k))]
    changes += _changes({k: before.suite[k] for k in stated}, {k: after.suite[k] for k in stated})
    if changes:
        yield Cause("attack", f"{subject.attack}: {'; '.join(changes)}")


def _surroundings(before: Made, after: Made, subject: Subject) -> Iterator[Cause]:
    a, b = before.origin, after.origin
    if a is None or b is None:
        yield Cause("environment", "where and by what some cells were computed is not recorded")
        return
    versions = _changes(_packages(a, subject), _packages(b, subject))
    if versions:
        yield Cause("library", "; ".join(versions))
    changes = _changes(_environment(a, before.header), _environment(b, after.header))
    if changes:
        yield Cause("environment", "; ".join(changes))


def _packages(origin: Origin, subject: Subject) -> dict[str, str | None]:
    """Versions of all that ``subject`` rests on: of the attack libraries only those that attacked it."""
    known = libraries()
    carriers = {subject.library} if subject.library in known else set(known) if subject.attack else set()
    unused = {
        name for library, made in known.items() if library not in carriers for name in made.distributions
    }
    return {name: version for name, version in origin.get("packages", {}).items() if name not in unused}


def _environment(origin: Origin, header: RunHeader) -> dict[str, object]:
    return {**{key: origin.get(key) for key in ENVIRONMENT}, "precision": header.suite.get("precision")}


def _entry(header: RunHeader, subject: Subject) -> ModelEntry | None:
    return next((m for m in header.models if m.id == subject.model), None)


def _declared_model(header: RunHeader, subject: Subject) -> dict[str, Any]:
    """The model as the suite declares it, with the backbone that it adapts."""
    models = [m for m in header.suite.get("models", ()) if m.get("name") == subject.model.name]
    said = {k: v for m in models[:1] for k, v in m.items() if v is not None and k != "expect_accuracy"}
    return {"backbone": header.suite.get("backbone"), **said}


def _declared_attack(header: RunHeader, label: str) -> dict[str, object] | None:
    """The parameters of the attack ``label``; None if this version cannot read its declaration."""
    for declared in header.suite.get("attacks", ()):
        try:
            spec = _ATTACK.validate_python(declared)
        except ValidationError:
            continue
        if spec.label == label:
            return parameters(spec)
    return None


def _changes(before: Any, after: Any, at: str = "") -> list[str]:
    """Every leaf in which two declarations differ, as "key before -> after"."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = dict.fromkeys([*before, *after])
        return [
            line
            for key in keys
            for line in _changes(before.get(key), after.get(key), f"{at}.{key}" if at else str(key))
        ]
    if before in NOTHING and after in NOTHING:
        return []
    return [] if before == after else [f"{at} {_short(before)} -> {_short(after)}".strip()]


def _short(value: Any) -> str:
    text = "not recorded" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
