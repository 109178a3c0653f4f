"""What a suite with adversarial training answers of adapters, in words.

Is robustness kept or given, and at what price? Asked of every model that adapts only part of its backbone, in
robust accuracy (worst case at the headline eps) and in clean accuracy, on the same samples. All p-values of
one quantity are corrected together (Holm).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np

from bench.ids import ModelId
from bench.scoring.comparison import ALPHA, Outcome, PairedDifference, Row, paired, paired_chances
from bench.scoring.statistics import MeanDifference, Table, holm, mean_difference
from bench.text import interval, p_value, points

Quantity = Literal["robust accuracy", "clean accuracy"]
KEEPS = "Does a standard adapter keep its backbone's robustness?"
GIVES = "Does an adversarially trained adapter give any, and at what price?"
NEAR = "How near is it to adversarial training of all parameters, with what share of them?"
TESTED = (
    "worst cases at the headline eps and clean accuracies, paired by sample; p by Holm over the answers;"
    " in brackets 95 % intervals"
)
"""How the differences behind all answers were tested."""


@dataclass(frozen=True)
class Difference:
    """The share of ``model`` minus that of ``against``, with its 95 % interval.

    ``p_adjusted`` is Holm's over all answers.
    """

    quantity: Quantity
    model: str
    against: str
    value: float
    difference: float
    low: float
    high: float
    p_value: float
    p_adjusted: float
    detectable: float

    @property
    def shown(self) -> bool:
        """Whether the difference stands after correction."""
        return self.p_adjusted <= ALPHA


@dataclass(frozen=True)
class Answer:
    """What is said of ``model`` on one ``question``, and the numbers that it rests on.

    ``parameters`` is its share of the parameters that the model trains that it is compared with; None where
    none is asked for.
    """

    question: str
    model: str
    text: str
    differences: tuple[Difference, ...]
    parameters: float | None = None


@dataclass(frozen=True)
class _Declared:
    """A model as the suite declares it; ``adaptation`` and ``backbone`` as JSON, to be compared."""

    name: str
    adaptation: str
    partial: bool
    full: bool
    adversarial: bool
    backbone: str
    robust: bool


class _Model(Protocol):
    """A model's entry, in a run or as it is published."""

    @property
    def model(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def trainable_parameters(self) -> int: ...


class _Run(Protocol):
    """What is asked of a run, or of what is published of one: what its suite declares, and its models."""

    @property
    def suite(self) -> Mapping[str, Any]: ...
    @property
    def models(self) -> Sequence[_Model]: ...


Tables = Mapping[Quantity, Mapping[str, Table]]


def answers(header: _Run, worst_cases: Mapping[ModelId, Outcome]) -> tuple[Answer, ...]:
    """The answers of the run with this ``header``; none where the suite trains nothing adversarially."""
    models = [_declared(header.suite, model) for model in header.suite.get("models", ())]
    if not any(m.adversarial or m.robust for m in models):
        return ()
    tables, count = _tables(header, worst_cases), {m.model: m.trainable_parameters for m in header.models}
    found = [
        *_kept([m for m in models if m.name in tables["robust accuracy"]], tables),
        *_given([m for m in models if m.name in tables["robust accuracy"]], tables, count),
    ]
    corrected = _corrected([difference for answer in found for difference in answer.differences])
    return tuple(
        sorted((_worded(a, corrected) for a in found), key=lambda a: (KEEPS, GIVES, NEAR).index(a.question))
    )


def _declared(suite: Mapping[str, Any], model: Mapping[str, Any]) -> _Declared:
    backbone = dict(model.get("backbone") or suite.get("backbone") or {})
    if model.get("weights"):
        backbone["weights"] = model["weights"]
    adaptation, training = model.get("adaptation") or {}, model.get("training") or suite.get("training") or {}
    method = adaptation.get("method", "full")
    pretraining = (backbone.get("pretrain") or {}).get("training") or {}
    return _Declared(
        name=str(model.get("name")),
        adaptation=json.dumps(adaptation, sort_keys=True),
        partial=method not in ("full", "none", "peft"),
        full=method == "full",
        adversarial=bool(training.get("adversarial")),
        backbone=json.dumps(backbone, sort_keys=True),
        robust=bool(pretraining.get("adversarial")),
    )


def _tables(header: _Run, worst_cases: Mapping[ModelId, Outcome]) -> dict[Quantity, dict[str, Table]]:
    """By quantity and model a row per training seed; only of models of which every seed can be compared."""
    seeds: dict[str, list[Outcome]] = {}
    for model, outcome in worst_cases.items():
        seeds.setdefault(model.name, []).append(outcome)
    wanted = len({m.seed for m in header.models})
    whole = {name: own for name, own in seeds.items() if len(own) == wanted}
    return {
        "robust accuracy": {name: np.stack([o.robust for o in own]) for name, own in whole.items()},
        "clean accuracy": {name: np.stack([o.before for o in own]) for name, own in whole.items()},
    }


def _kept(models: Sequence[_Declared], tables: Tables) -> Iterator[Answer]:
    """Standard adapters on robust backbones: against the same on another, and what was possible there."""
    for m in models:
        if not (m.partial and m.robust and not m.adversarial):
            continue
        twin = _first(
            o for o in models if o.adaptation == m.adaptation and not o.adversarial and not o.robust
        )
        best = _first(o for o in models if o.full and o.adversarial and o.backbone == m.backbone)
        compared = tuple(_difference("robust accuracy", m, o, tables) for o in (twin, best) if o)
        if compared:
            yield Answer(KEEPS, m.name, "", compared)


def _given(models: Sequence[_Declared], tables: Tables, count: Mapping[str, int]) -> Iterator[Answer]:
    """Adversarially trained adapters against the same in standard training.

    Also against all parameters in adversarial training.
    """
    for m in models:
        if not (m.partial and m.adversarial):
            continue
        on_it = [o for o in models if o.backbone == m.backbone]
        twin = _first(o for o in on_it if o.adaptation == m.adaptation and not o.adversarial)
        best = _first(o for o in on_it if o.full and o.adversarial)
        if twin:
            both: tuple[Quantity, Quantity] = ("robust accuracy", "clean accuracy")
            yield Answer(GIVES, m.name, "", tuple(_difference(q, m, twin, tables) for q in both))
        if best:
            share = count[m.name] / count[best.name]
            yield Answer(NEAR, m.name, "", (_difference("robust accuracy", m, best, tables),), share)


def _first(models: Iterator[_Declared]) -> _Declared | None:
    return next(models, None)


def _difference(quantity: Quantity, model: _Declared, against: _Declared, tables: Tables) -> Difference:
    first, second = tables[quantity][model.name], tables[quantity][against.name]
    if len(first) == 1:
        d = _paired(first[0], second[0])
        found = MeanDifference(d.difference, d.low, d.high, d.p_value, d.detectable)
    else:
        found = mean_difference(first, second)
    p = found.p_value
    return Difference(
        quantity,
        model.name,
        against.name,
        float(first.mean()),
        found.difference,
        found.low,
        found.high,
        p,
        p,
        found.detectable,
    )


def _paired(first: Row, second: Row) -> PairedDifference:
    """Of one training seed; of random models, which are right with a probability, by the test for these."""
    if set(np.unique([first, second])) <= {0.0, 1.0}:
        return paired(first > 0, second > 0)
    return paired_chances(first, second)


def _corrected(differences: Sequence[Difference]) -> dict[Difference, Difference]:
    """Each of ``differences`` with Holm's correction over those of its quantity, in which it counts once."""
    found: dict[Difference, Difference] = {}
    for quantity in ("robust accuracy", "clean accuracy"):
        family = list(dict.fromkeys(d for d in differences if d.quantity == quantity))
        adjusted = holm([d.p_value for d in family])
        found |= {d: replace(d, p_adjusted=p) for d, p in zip(family, adjusted, strict=True)}
    return found


def _worded(answer: Answer, corrected: Mapping[Difference, Difference]) -> Answer:
    differences = tuple(corrected[d] for d in answer.differences)
    verdict = {KEEPS: _keeps, GIVES: _gives, NEAR: _near}[answer.question](differences)
    share = (
        "" if answer.parameters is None else f", with {_percent(answer.parameters)} of the trained parameters"
    )
    said = "; ".join(_said(d) for d in differences)
    value = f"{answer.model} ({100 * differences[0].value:.1f} %)"
    return replace(answer, differences=differences, text=f"{value}: {said}{share}: {verdict}")


def _said(d: Difference) -> str:
    """Robust accuracy +30.0 points [+22.1, +38.0] against lora-fc, p < 0.001."""
    gap = f"{points(d.difference)} points {interval(d.low, d.high)}"
    return f"{d.quantity} {gap} against {d.against}, {p_value(d.p_adjusted)}"


def _keeps(differences: Sequence[Difference]) -> str:
    gains = [d for d in differences if d.shown and d.difference > 0]
    losses = [d for d in differences if d.shown and d.difference < 0]
    if losses:
        return "in part" if gains else "no"
    return "yes, as far as this shows" if gains else _nothing(differences)


def _gives(differences: Sequence[Difference]) -> str:
    robust, clean = differences
    given = (
        "yes"
        if robust.shown and robust.difference > 0
        else "it takes some"
        if robust.shown
        else _nothing([robust])
    )
    price = "no price in clean accuracy shown"
    if clean.shown:
        price = "paid in clean accuracy" if clean.difference < 0 else "clean accuracy rises too"
    return f"{given}; {price}"


def _near(differences: Sequence[Difference]) -> str:
    (d,) = differences
    if not d.shown:
        return _nothing(differences)
    return "it is more robust" if d.difference > 0 else "it is less robust"


def _nothing(differences: Sequence[Difference]) -> str:
    """Intervals are of one difference alone: where one leaves out zero, the correction takes that back."""
    least = [d.detectable for d in differences if not np.isnan(d.detectable)]
    corrected = " after correction" if any(d.low > 0 or d.high < 0 for d in differences) else ""
    could = points(min(least)).lstrip("+") if least else "none"
    return f"no difference shown{corrected} (could have shown {could})"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
