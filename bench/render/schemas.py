"""The JSON schemas of what ``--format json`` prints and of run.json, made of the types that are printed.

They are published in docs/schemas/, and printed by ``bench schema --of``. A field that is added is no new
version of a document; one that goes, or means something else, is.
"""

import json
from collections.abc import Callable, Container, Mapping
from dataclasses import fields, is_dataclass
from fractions import Fraction
from types import GenericAlias, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, create_model

from bench.comparison.cause import Cause
from bench.comparison.reproduction import CellOutcome
from bench.comparison.verdict import EXITS, Flip, Row
from bench.errors import Exit
from bench.ids import ModelId
from bench.render.listing import LISTING_VERSION
from bench.render.numbers import LEADERBOARD_VERSION, VERDICT_VERSION
from bench.render.ranking import RUNS_VERSION
from bench.render.reproduction import REPRODUCTION_VERSION
from bench.render.text import CELL_FIELDS
from bench.render.verdict_text import FIELDS
from bench.scoring.claims import Claim
from bench.scoring.classes import ClassScore, ClassScores
from bench.scoring.comparison import PairedDifference
from bench.scoring.crosscheck import CrossCheck
from bench.scoring.defended import DefenceScore
from bench.scoring.model_ranking import Place
from bench.scoring.over_seeds import SeedRate, SeedScore
from bench.scoring.published import schema as published_schema
from bench.scoring.remarks import Remark
from bench.scoring.robust_training import Answer, Difference
from bench.scoring.scorecard import CurveScore
from bench.scoring.seen import Seen
from bench.scoring.statistics import Proportion
from bench.scoring.trust import Finding, Grade
from bench.store import DataEntry, RunHeader
from bench.store.shapes import Robust
from bench.suite.gate import Gate
from bench.suite.suite import schema_text

DRAFT = "https://json-schema.org/draft/2020-12/schema"
Types = Mapping[str, Any]


def schema_of(what: str) -> str:
    """The schema of the document ``what``, one of SCHEMAS, as it is published."""
    return SCHEMAS[what]()


def _published(title: str, members: Types, about: str, optional: Container[str] = ()) -> str:
    model = _model(title, members)
    schema = {
        "$schema": DRAFT,
        **model.model_json_schema(mode="serialization"),
        "title": title,
        "description": about,
    }
    schema["required"] = [name for name in schema["required"] if name not in optional]
    return json.dumps(schema, indent=1) + "\n"


def _model(name: str, members: Types) -> type[BaseModel]:
    """An object that has all of ``members`` (name -> type) and nothing else."""
    known: dict[str, Any] = {member: (kind, ...) for member, kind in members.items()}
    return create_model(name, __config__=ConfigDict(extra="forbid"), **known)


def _row(kind: type, **besides: Any) -> type[BaseModel]:
    """The dataclass ``kind`` as bench.render.numbers.flat writes it, with the members ``besides``."""
    members: dict[str, Any] = {}
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        members |= (
            {"model": str, "seed": int}
            if hints[field.name] is ModelId
            else {field.name: _written(hints[field.name])}
        )
    return _model(kind.__name__, {**members, **besides})


def _written(kind: Any) -> Any:
    """How a value of ``kind`` is written: an eps as text, NaN as null, a dataclass as an object."""
    if get_origin(kind) in (UnionType, Union):
        return Union[tuple(map(_written, get_args(kind)))]  # noqa: UP007 (of as many as there are)
    if kind is Fraction:
        return str
    if kind is float:
        return float | None
    return _row(kind) if isinstance(kind, type) and is_dataclass(kind) else kind


def _several(kind: Any) -> Any:
    return GenericAlias(list, (kind,))


IDENTITY = {
    "model": str,
    "seed": int,
    "attack": str | None,
    "library": str | None,
    "norm": str | None,
    "eps": str | None,
}


def _leaderboard() -> str:
    difference = _row(PairedDifference, shown=bool)
    pair = {"model": str, "seed": int, "baseline": str, "baseline_seed": int, "attack": str, "eps": str}
    members = {
        "schema_version": Literal[LEADERBOARD_VERSION],
        "suite": str,
        "run_id": str,
        "status": Literal["complete", "incomplete"],
        "trust_cost": float | None,
        "headline_eps": str,
        "data": _row(DataEntry, classes_sha256=str) | None,
        "seen": _several(_row(Seen)),
        "models": _several(_model("Model", _model_members())),
        "cells": _several(_model("Cell", {**_cell_members(), "findings": _several(_row(Finding))})),
        "crosschecks": _several(_row(CrossCheck)),
        "comparisons": _several(_model("Comparison", {**pair, "robust": difference, "asr": difference})),
        "claims": _several(_row(Claim, shown=bool)),
        "answers": _several(_row(Answer, differences=_several(_row(Difference, shown=bool)))),
        "curves": _several(_row(CurveScore)),
        "precision": _model("Precision", {"crafted": str, "differs": _row(Proportion) | None}) | None,
        "queries": _several(_queries()),
        "remarks": _several(_row(Remark)),
        "seeds": _several(_row(SeedScore)),
        "seed_rates": _several(_row(SeedRate)),
        "classes": _several(_row(ClassScores, classes=_several(_row(ClassScore)))),
        "defences": _several(_defence(difference)),
    }
    about = "What `bench run --format json` prints. Shares are from 0 to 1."
    return _published("leaderboard", members, about, {"defences", "remarks"})


def _defence(difference: type[BaseModel]) -> type[BaseModel]:
    """A defended model; where a run has none, the leaderboard has no list of them."""
    hints = get_type_hints(DefenceScore)
    members: dict[str, Any] = {"model": str, "seed": int}
    for name in ("defences", "members", "passes", "without", "naive", "adaptive"):
        members[name] = _written(hints[name])
    gains = dict.fromkeys(("clean", "naive_gain", "gain"), difference | None)
    return _model("Defence", {**members, "undefended": str, **gains, "sentence": str})


def _model_members() -> Types:
    share = {"accuracy": float | None, "accuracy_low": float | None, "accuracy_high": float | None}
    worst = {"worst_case": float | None, "worst_case_low": float | None, "worst_case_high": float | None}
    return {
        "model": str, "seed": int, "method": str, "trainable_parameters": int, "parameters": int, **share,
        "certainty": float | None, "certainty_adv": float | None, **worst, "rank": int | None, "trust": Grade,
        "unranked": str | None, "preprocessing": dict[str, Any], "notes": list[str],
        "losses": list[float], "robust": _row(Robust) | None,
    }  # fmt: skip


def _cell_members() -> Types:
    """A cell's fields: numbers that it may lack, but for those that say what it is."""
    said = dict.fromkeys(("model", "attack", "eps", "norm", "library"), str)
    counts = dict.fromkeys(("n", "n_correct", "forwards", "backwards"), int | None)
    other = {
        "seed": int,
        "status": Literal["ok", "error", "not run"],
        "error": str | None,
        "trust": Grade | None,
    }
    known: dict[str, Any] = {**said, **counts, **other}
    return {name: known.get(name, float | None) for name in CELL_FIELDS}


def _queries() -> type[BaseModel]:
    after = _model("AfterQueries", {"queries": int, "asr": float | None, "asr_low": float, "asr_high": float})
    said = {"model": str, "seed": int, "attack": str, "library": str, "norm": str, "eps": str}
    numbers = {
        "spent": int,
        "median": float | None,
        "after": _several(after),
        "curve": list[tuple[int, float]],
    }
    return _model("Queries", {**said, **numbers})


def _verdict() -> str:
    problem = _model("Problem", {**IDENTITY, "reason": str})
    cause = _row(Cause)
    hints: dict[str, Any] = {
        **get_type_hints(Row),
        **IDENTITY,
        "outcome": str,
        "difference": float,
        "trust": Grade | None,
    }
    numbers = {"min_effect": float, "alpha": float}
    row = {name: {**hints, **numbers}[name] for name in FIELDS}
    members = {
        "schema_version": Literal[VERDICT_VERSION],
        "verdict": Literal[tuple(EXITS)],
        "exit_code": Literal[tuple(sorted(set(map(int, EXITS.values()))))],
        "suite": str,
        "before": str,
        "after": str,
        "gate": Gate | None,
        "rows": _several(_model("Row", {**row, "causes": _several(cause), "flips": _several(_row(Flip))})),
        "missing": _several(problem),
        "errors": _several(problem),
        "not_comparable": _several(problem),
        "new": _several(_model("New", IDENTITY)),
        "causes": _several(_row(Cause, rows=int)),
        "drifts": _several(cause),
    }
    return _published(
        "verdict", members, "What `bench compare A B --format json` prints. Shares are from 0 to 1."
    )


def _runs() -> str:
    said = {"suite": str, "run_id": str}
    reference = _model("Reference", {"verdict": Literal[tuple(EXITS)], "rows": int, "changed": int})
    usable = _model(
        "Run",
        {
            **said, "status": Literal["complete", "incomplete"],
            "started": str, "commit": str, "repository": str | None, "headline_eps": str,
            "seen": _several(_row(Seen)), "models": _several(_row(Place)), "reference": reference | None,
        },
    )  # fmt: skip
    unusable = _model("UnusableRun", {**said, "status": Literal["unusable"], "reason": str})
    place = _row(Place, runs=list[str])
    ranking = {
        "suite": str,
        "headline_eps": str,
        "samples": int,
        "attacks": list[str],
        "models": _several(place),
    }
    rankings = _several(_model("Ranking", ranking))
    members = {
        "schema_version": Literal[RUNS_VERSION],
        "runs": _several(usable | unusable),
        "rankings": rankings,
    }
    about = (
        "What `bench compare FOLDER --format json` prints: the runs in it, newest first, and all of a suite"
        " in one ranking."
    )
    return _published("runs", members, about)


def _reproduction() -> str:
    members = {
        "schema_version": Literal[REPRODUCTION_VERSION],
        "run": str,
        "outcomes": _several(_row(CellOutcome)),
        "changes": list[str],
        "exit_code": Literal[int(Exit.OK), int(Exit.GATE_FAILED), int(Exit.INCOMPLETE)],
    }
    return _published("reproduction", members, "What `bench reproduce --format json` prints.")


def _listing() -> str:
    value = str | int | bool | tuple[str, ...]
    members = {
        "schema_version": Literal[LISTING_VERSION],
        "kind": Literal["attacks", "data", "defences", "libraries", "models", "suites"],
        "rows": _several(dict[str, value]),
        "notes": list[str],
    }
    return _published(
        "listing", members, "What `bench list WHAT --format json` prints: a row for each thing that there is."
    )


def _run() -> str:
    """run.json is read with defaults for what older versions lacked; its checksum stands before all."""
    schema = TypeAdapter(RunHeader).json_schema()
    checksum = {"type": "string", "description": "sha256 of the file, with 64 zeros in its place."}
    schema["properties"] = {"sha256": checksum, **schema["properties"]}
    about = "A run's run.json: what was asked, where and with what, and how each cell stands."
    return json.dumps({"$schema": DRAFT, **schema, "title": "run", "description": about}, indent=1) + "\n"


def _published_run() -> str:
    about = (
        "A run under results/published/: what became of every sample under each attack, packed."
        " bench.scoring.published."
    )
    return (
        json.dumps(
            {"$schema": DRAFT, **published_schema(), "title": "published", "description": about}, indent=1
        )
        + "\n"
    )


SCHEMAS: dict[str, Callable[[], str]] = {
    "suite": schema_text,
    "leaderboard": _leaderboard,
    "verdict": _verdict,
    "runs": _runs,
    "reproduction": _reproduction,
    "listing": _listing,
    "run": _run,
    "published": _published_run,
}
