"""Types of what stands in run.json and in references, strict: ``true`` is not a number, and "1" neither."""

from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    ConfigDict,
    FailFast,
    Field,
    PlainValidator,
    Strict,
    TypeAdapter,
    WithJsonSchema,
)

from bench.eps import parse_eps
from bench.store.strangers import typed

T = TypeVar("T")
Text = Annotated[str, Strict(), Field(max_length=1_000)]
Words = Annotated[str, Strict()]
"""A message, of any length."""
Flag = Annotated[bool, Strict()]
Count = Annotated[int, Strict(), Field(ge=0, lt=2**63)]
Positive = Annotated[int, Strict(), Field(ge=1, lt=2**31)]
Number = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]
Loss = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Several = Annotated[tuple[T, ...], FailFast()]
"""Of a long list, the first fault is enough."""


@lru_cache(maxsize=1024)
def _eps(text: str) -> Fraction:
    """A run's cells share a few eps: equal ones are one object, which compares in no time."""
    return parse_eps(text)


def _stored_eps(value: Any) -> Fraction:
    """An eps of a file, where it stands as text. Raises ValueError for anything else."""
    if isinstance(value, Fraction):
        return value
    if not isinstance(value, str) or len(value) > 1_000:
        raise ValueError("an eps is text, like '8/255'")
    return _eps(value)


def _is_file_name(name: str) -> str:
    """It can only name a file in the folder where it is looked for."""
    if Path(name).name != name or name in ("", "..") or "\0" in name or len(name.encode()) > 200:
        raise ValueError(f"{name[:40]!r} is not a file name")
    return name


StoredEps = Annotated[Fraction, PlainValidator(_stored_eps), WithJsonSchema({"type": "string"})]
"""Text in a file ("8/255"), a fraction in memory."""
FileName = Annotated[Text, AfterValidator(_is_file_name)]
Status = Annotated[Text, Field(pattern="^(ok|error|missing)$")]
Norm = Annotated[Text, Field(pattern="^(linf|l2|l1|l0|spatial)$")]
Pairing = Annotated[Text, Field(pattern="^(exact|statistical|related|single)$")]
Carrier = Annotated[Text, Field(pattern="^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""A library's name: a run can be read where its libraries are not known."""
Digests = dict[Text, Text]


@dataclass(frozen=True)
class _Origin:
    """What is read of a provenance; all else in it is only shown."""

    started: Text = ""
    commit: Text | None = None
    dirty: Flag = False
    code: Text | None = None
    bench_version: Text = ""
    packages: dict[Text, Text | None] = field(default_factory=dict)


@dataclass(frozen=True)
class _Suite:
    """What is read of a suite that was run; versions of this program differ in the rest."""

    models: Several[dict[Text, Any]] = ()
    attacks: Several[dict[Text, Any]] = ()
    gate: dict[Text, Any] = field(default_factory=dict)
    trust: Text = ""
    precision: Text = ""


@dataclass(frozen=True)
class _Preprocessing:
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    origin: Literal["suite", "weights", "training", "architecture", "assumed"]
    size: Positive | None = None
    resize: Positive | None = None
    interpolation: Text | None = None
    scaled_to: Positive | None = None


Curve = Several[Annotated[float, Strict(), Field(ge=0, le=1)]]
"""Shares, one for each epoch."""


@dataclass(frozen=True)
class Robust:
    """How an adversarial training went, epoch by epoch (adapters.training.curves)."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    method: Text
    norm: Norm
    eps: Text
    held_out: Positive
    trained_at: Several[Number]
    clean: Curve
    fgsm: Curve
    pgd: Curve
    kept: Positive
    collapsed: Positive | None = None

    def __post_init__(self) -> None:
        epochs = {len(curve) for curve in (self.trained_at, self.clean, self.fgsm, self.pgd)}
        if len(epochs) > 1 or epochs.pop() < max(self.kept, self.collapsed or 1):
            raise ValueError("its curves are not of the same epochs")


@dataclass(frozen=True)
class _Images:
    sha256: Text


def _fitting(kind: TypeAdapter[Any]) -> AfterValidator:
    """The value is as it was, and fits ``kind``."""

    def check(value: T) -> T:
        typed(kind, value)
        return value

    return AfterValidator(check)


Provenance = Annotated[dict[str, Any], _fitting(TypeAdapter(_Origin))]
Declared = Annotated[dict[str, Any], _fitting(TypeAdapter(_Suite))]
Images = Annotated[dict[str, Any], _fitting(TypeAdapter(_Images))]


def _is_preprocessing(value: dict[str, Any]) -> dict[str, Any]:
    if value:
        typed(_PREPROCESSING, value)
    return value


_PREPROCESSING = TypeAdapter(_Preprocessing)
Preprocessed = Annotated[dict[str, Any], AfterValidator(_is_preprocessing)]
