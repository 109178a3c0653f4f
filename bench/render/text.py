"""Scorecard -> JSON, CSV and Markdown for other programs."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from bench.eps import eps_text
from bench.ids import AttackEps
from bench.render.answers import answers_in_words
from bench.render.defences import HEAD, defence_json, defence_rows
from bench.render.numbers import (
    LEADERBOARD_VERSION,
    across,
    csv_row,
    flat,
    markdown,
    percent,
    plain,
    rounded,
    spread,
)
from bench.render.rates import status, success_rates
from bench.render.seen import data_row
from bench.scoring.comparison import Comparison, PairedDifference
from bench.scoring.queries import QueryScore
from bench.scoring.remarks import Kind
from bench.scoring.robust_training import Answer
from bench.scoring.scorecard import CellScore, ModelScore, Scorecard
from bench.scoring.statistics import Proportion
from bench.text import NONE

CELL_FIELDS = (
    "model", "seed", "attack", "eps", "norm", "library", "n", "n_correct", "accuracy", "certainty",
    "robust_accuracy", "asr", "asr_low", "asr_high", "certainty_adv", "seconds", "forwards", "backwards",
    "status", "error", "trust", "certainty_broken", "certainty_broken_adv", "certainty_held",
    "certainty_held_adv", "prob_true", "prob_true_adv", "ece", "ece_adv", "confident_errors",
    "confident_errors_adv", "linf_mean", "linf_median", "l2_mean", "l2_median", "l1_mean", "l1_median",
    "l0_mean", "l0_median", "certainty_low", "certainty_high", "certainty_adv_low", "certainty_adv_high",
)  # fmt: skip

SAME_NAME = (
    "certainty", "certainty_adv", "certainty_broken", "certainty_broken_adv",
    "certainty_held", "certainty_held_adv",
    "prob_true", "prob_true_adv", "ece", "ece_adv", "confident_errors", "confident_errors_adv",
    "certainty_low", "certainty_high", "certainty_adv_low", "certainty_adv_high",
)  # fmt: skip
"""Fields of a cell that carry the metric's own name."""


def to_json(card: Scorecard) -> str:
    """``card`` as one JSON object, as documented in the README."""
    return json.dumps(as_json(card), indent=2, allow_nan=False)


def as_json(card: Scorecard) -> dict[str, Any]:
    """What ``to_json`` writes, as data."""
    data = {
        "schema_version": LEADERBOARD_VERSION,
        "suite": card.suite,
        "run_id": card.run_id,
        "status": card.status,
        "trust_cost": card.trust_cost,
        "headline_eps": eps_text(card.headline_eps),
        "data": data_row(card.data),
        "seen": [vars(line) for line in card.seen],
        "models": [_model(m) for m in card.models],
        "cells": [{**cell_row(c), "findings": _findings(c)} for c in card.cells],
        "crosschecks": [flat(c) for c in card.crosschecks],
        "comparisons": [_comparison(c) for c in (*card.headline, *card.comparisons)],
        "claims": [{**flat(c), "shown": c.shown} for c in card.claims],
        "answers": [_answer(a) for a in card.answers],
        "curves": [flat(c) for c in card.curves],
        "precision": (
            card.precision
            and {"crafted": card.precision.crafted, "differs": _proportion(card.precision.differs)}
        ),
        "queries": [_queries(q) for q in card.queries],
        "remarks": [vars(remark) for remark in card.remarks],
        "seeds": [flat(s) for s in card.seeds],
        "seed_rates": [flat(r) for r in card.seed_rates],
        "classes": [{**flat(s), "classes": [flat(c) for c in s.classes]} for s in card.classes],
    }
    if card.defences:
        data["defences"] = [defence_json(d) for d in card.defences]
    found: dict[str, Any] = rounded(data)
    return found


def _answer(a: Answer) -> dict[str, Any]:
    differences = [{**flat(d), "shown": d.shown} for d in a.differences]
    return {
        "question": a.question,
        "model": a.model,
        "text": a.text,
        "parameters": a.parameters,
        "differences": differences,
    }


def _queries(q: QueryScore) -> dict[str, Any]:
    """ASR over queries: the whole curve, and with intervals after each of the budgets."""
    identity = {name: getattr(q.entry, name) for name in ("model", "seed", "attack", "library", "norm")}
    after = [
        {"queries": budget, "asr": plain(p.value), "asr_low": p.low, "asr_high": p.high}
        for budget, p in zip(q.budgets, q.asr, strict=True)
    ]
    eps = eps_text(q.entry.eps)
    return {**identity, "eps": eps, "spent": q.spent, "median": q.median, "after": after, "curve": q.steps}


def _proportion(p: Proportion | None) -> dict[str, Any] | None:
    return None if p is None else vars(p)


def _findings(cell: CellScore) -> list[dict[str, str]]:
    return [] if cell.trust is None else [vars(finding) for finding in cell.trust.findings]


def _comparison(c: Comparison) -> dict[str, Any]:
    """A difference in robust accuracy (all samples) and success rate (samples that both models get right)."""
    identity = {
        "model": c.first.name,
        "seed": c.first.seed,
        "baseline": c.second.name,
        "baseline_seed": c.second.seed,
        "attack": c.attack,
        "eps": eps_text(c.eps),
    }
    return {**identity, "robust": _difference(c.robust), "asr": _difference(c.asr)}


def _difference(d: PairedDifference) -> dict[str, Any]:
    return {**flat(d), "shown": d.shown}


def to_csv(card: Scorecard) -> str:
    """One line per cell."""
    out = io.StringIO()
    writer = csv.DictWriter(out, CELL_FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(csv_row(rounded(cell_row(c))) for c in card.cells)
    return out.getvalue().rstrip("\n")


def to_markdown(card: Scorecard) -> str:
    """What is seen; models and attack success rates as two tables; differences, trust, failures in words."""
    models = _over_seeds(card) if card.seeds else _models(card)
    said = [
        *_remarks(card, "order"),
        *(d.sentence for d in card.defences),
        *_remarks(card, "carried", "precision"),
        *answers_in_words(card),
        *(sentence.text for sentence in card.sentences),
        *_remarks(card, "unranked", "flag", "trust", "error", "not run"),
    ]
    seen, words = items([*(line.text for line in card.seen), *_remarks(card, "unchecked")]), items(said)
    gains = markdown_table(HEAD, defence_rows(card)) if card.defences else ""
    return "\n\n".join(part for part in (seen, models, gains, _rates(card), words) if part)


def _remarks(card: Scorecard, *kinds: Kind) -> list[str]:
    return [remark.text for remark in card.remarks_on(*kinds)]


def items(lines: Iterable[str]) -> str:
    """``lines`` as a list in Markdown."""
    return "\n".join(f"- {markdown(line)}" for line in lines)


def _models(card: Scorecard) -> str:
    head = [
        "#",
        "model",
        "trained params",
        "clean accuracy % [95 %]",
        f"worst case % at {eps_text(card.headline_eps)} [95 %]",
    ]
    rows = [
        [
            str(m.rank or NONE),
            m.model.name,
            f"{m.trainable_parameters:,}",
            percent(m.accuracy),
            percent(m.worst_case, m.trust),
        ]
        for m in card.models
    ]
    return markdown_table(head, rows)


def _over_seeds(card: Scorecard) -> str:
    over = f"mean ± sd over {card.seeds[0].accuracy.seeds} training seeds"
    head = [
        "#",
        "model",
        f"clean accuracy %, {over}",
        f"worst case % at {eps_text(card.headline_eps)}, {over} [95 %]",
    ]
    rows = [
        [str(s.rank or NONE), s.model, spread(s.accuracy), " ".join(across(s.worst_case, s.trust)).rstrip()]
        for s in card.seeds
    ]
    return markdown_table(head, rows)


def _rates(card: Scorecard) -> str:
    rates = success_rates(card)
    asked = dict.fromkeys(AttackEps(c.attack, c.eps) for c in card.crosschecks)
    over = "ASR %, mean ± sd over seeds [95 %]" if card.seeds else "ASR % [95 %]"
    rows = [[at.attack, eps_text(at.eps), *(own.get(at, NONE) for own in rates.values())] for at in asked]
    return markdown_table([over, "eps", *rates], rows)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """``rows`` under ``head``, as a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(markdown, line)) + " |" for line in lines)


def _model(m: ModelScore) -> dict[str, Any]:
    return {
        "model": m.model.name,
        "seed": m.model.seed,
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
        "rank": m.rank,
        "trust": m.trust,
        "unranked": m.unranked,
        "preprocessing": m.preprocessing,
        "notes": m.notes,
        "losses": m.losses,
        "robust": m.robust and vars(m.robust),
    }


def cell_row(cell: CellScore) -> dict[str, Any]:
    """One cell with the field names of DESIGN's JSON; numbers are None where the cell has none."""
    e, m = cell.entry, cell.metrics
    trust = None if cell.trust is None else cell.trust.grade
    identity = {
        k: getattr(e, k)
        for k in ("model", "seed", "attack", "norm", "library", "seconds", "forwards", "backwards", "error")
    }
    numbers = {} if m is None else {
        "n": m.accuracy.n,
        "n_correct": m.asr.n,
        "accuracy": m.accuracy.value,
        "robust_accuracy": m.robust_accuracy.value,
        "asr": plain(m.asr.value),
        "asr_low": m.asr.low,
        "asr_high": m.asr.high,
        **{name: getattr(m, name) for name in SAME_NAME},
        **{
            f"{norm}_{what}": getattr(d, what)
            for norm, d in m.distances.items()
            for what in ("mean", "median")
        },
    }  # fmt: skip
    row = {**identity, **numbers, "eps": eps_text(e.eps), "status": status(e), "trust": trust}
    return {name: row.get(name) for name in CELL_FIELDS}
