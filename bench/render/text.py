"""Scorecard -> JSON, CSV and Markdown for other programs."""

import csv
import html
import io
import json
from fractions import Fraction
from typing import Any

from bench.eps import format_eps
from bench.render.cells import percent, plain
from bench.scoring.scorecard import CellScore, ModelScore, Scorecard
from bench.store import SCHEMA_VERSION

CELL_FIELDS = (
    "model", "seed", "attack", "eps", "norm", "library", "n", "n_correct", "accuracy", "certainty", "robust_accuracy", "asr",
    "asr_low", "asr_high", "certainty_adv", "seconds", "forwards", "backwards", "status", "error",
)  # fmt: skip


def to_json(card: Scorecard) -> str:
    """``card`` as one JSON object, as documented in the README."""
    data = {
        "schema_version": SCHEMA_VERSION,
        "suite": card.suite,
        "run_id": card.run_id,
        "status": card.status,
        "headline_eps": card.headline_eps,
        "models": [_model(m) for m in card.models],
        "cells": [cell_row(c) for c in card.cells],
        "crosschecks": [{k: plain(v) if isinstance(v, float) else v for k, v in vars(c).items()} for c in card.crosschecks],
        "comparisons": [],
    }
    return json.dumps(data, indent=2, allow_nan=False)


def to_csv(card: Scorecard) -> str:
    """One line per cell."""
    out = io.StringIO()
    writer = csv.DictWriter(out, CELL_FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(cell_row(c) for c in card.cells)
    return out.getvalue().rstrip("\n")


def to_markdown(card: Scorecard) -> str:
    """The models and the attack success rates as two tables."""
    head = ["#", "model", "trained params", "clean accuracy % [95 %]", f"worst case % at {card.headline_eps} [95 %]"]
    models = [
        [str(i), m.model, f"{m.trainable_parameters:,}", percent(m.accuracy), percent(m.worst_case)]
        for i, m in enumerate(card.models, 1)
    ]
    attacks = [[a.attack, a.eps, f"{a.model} #{a.seed}", percent(a.asr)] for a in card.attacks]
    return f"{_table(head, models)}\n\n{_table(['attack', 'eps', 'model', 'ASR % [95 %]'], attacks)}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_plain, line)) + " |" for line in lines)


def _plain(cell: str) -> str:
    """``cell`` as it is read, whatever a page would make of it."""
    return html.escape(" ".join(cell.split()), quote=False).replace("|", "\\|")


def _model(m: ModelScore) -> dict[str, Any]:
    return {
        "model": m.model,
        "seed": m.seed,
        "method": m.method,
        "trainable_parameters": m.trainable_parameters,
        "parameters": m.parameters,
        "accuracy": m.accuracy and m.accuracy.value,
        "accuracy_low": m.accuracy and m.accuracy.low,
        "accuracy_high": m.accuracy and m.accuracy.high,
        "certainty": m.certainty,
        "certainty_adv": m.certainty_adv,
        "worst_case": m.worst_case and m.worst_case.value,
        "worst_case_low": m.worst_case and m.worst_case.low,
        "worst_case_high": m.worst_case and m.worst_case.high,
    }


def cell_row(cell: CellScore) -> dict[str, Any]:
    """One cell with the field names of DESIGN's JSON; numbers are None where the cell has none."""
    e, m = cell.entry, cell.metrics
    identity = {
        k: getattr(e, k)
        for k in ("model", "seed", "attack", "norm", "library", "seconds", "forwards", "backwards", "status", "error")
    }
    numbers = {} if m is None else {
        "n": m.accuracy.n,
        "n_correct": m.asr.n,
        "accuracy": m.accuracy.value,
        "certainty": m.certainty,
        "robust_accuracy": m.robust_accuracy.value,
        "asr": plain(m.asr.value),
        "asr_low": m.asr.low,
        "asr_high": m.asr.high,
        "certainty_adv": m.certainty_adv,
    }  # fmt: skip
    row = {**identity, **numbers, "eps": format_eps(Fraction(e.eps))}
    return {name: row.get(name) for name in CELL_FIELDS}
