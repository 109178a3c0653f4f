"""Scorecard -> a model card of the Hugging Face Hub: metadata for the Hub, and the same numbers for people.

The metadata is YAML between two lines of dashes: a ``model-index`` with an entry for each model
(https://github.com/huggingface/hub-docs/blob/main/modelcard.md).
"""

import math
from collections.abc import Iterator
from typing import Any

import yaml

from bench.attacks.registry import all_distributions
from bench.eps import eps_text
from bench.ids import AttackEps
from bench.render.numbers import markdown, percent, rounded
from bench.render.rates import success_rates
from bench.render.text import items, markdown_table
from bench.scoring.scorecard import ModelScore, Scorecard
from bench.scoring.statistics import Proportion
from bench.scoring.trust import Grade
from bench.store import RunHeader
from bench.text import NONE, number

TAGS = ("adversarial-robustness", "image-classification")


def model_card(card: Scorecard, header: RunHeader) -> str:
    """The card of all models of ``card``.

    A number that its trust checks fail is in its table alone, marked.
    """
    index = [_entry(card, header, m) for m in card.models]
    front = yaml.safe_dump({"tags": list(TAGS), "model-index": index}, sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n{_body(card, header)}"


def _entry(card: Scorecard, header: RunHeader, m: ModelScore) -> dict[str, Any]:
    source = str(header.suite.get("data", {}).get("source", "given"))
    dataset = {"name": f"{source}, {header.samples} samples", "type": source, "split": "test"}
    task = {"type": "image-classification", "name": "Image Classification"}
    name = card.title(m.model)
    return {"name": name, "results": [{"task": task, "dataset": dataset, "metrics": [*_metrics(card, m)]}]}


def _metrics(card: Scorecard, m: ModelScore) -> Iterator[dict[str, Any]]:
    at = eps_text(card.headline_eps)
    yield from _metric("accuracy", "Clean accuracy", m.accuracy, "pass")
    yield from _metric(
        "robust_accuracy", f"Robust accuracy, worst of all attacks, eps {at}", m.worst_case, m.trust, eps=at
    )
    for a in card.attacks:
        if (a.model, a.eps) == (m.model, card.headline_eps):
            named = f"Attack success rate, {a.attack}, eps {at}"
            yield from _metric("attack_success_rate", named, a.asr, a.trust, eps=at, attack=a.attack)


def _metric(
    kind: str, name: str, p: Proportion | None, trust: Grade, **asked: str
) -> Iterator[dict[str, Any]]:
    """The share ``p``, from 0 to 1, with its interval; nothing if there is none, or it cannot be trusted."""
    if p is None or not math.isfinite(p.value) or trust == "fail":
        return
    how = {**asked, "n": p.n, "low": rounded(p.low), "high": rounded(p.high), "trust": trust}
    yield {"type": kind, "name": name, "value": rounded(p.value), "args": how}


def _body(card: Scorecard, header: RunHeader) -> str:
    parts = [
        f"# Adversarial robustness: {markdown(card.suite)}",
        (
            f"Robust accuracy is that at eps {eps_text(card.headline_eps)} against the worst attack on each"
            " sample; in brackets 95 % intervals."
        ),
        _models(card),
        _rates(card),
        items(r.text for r in card.remarks_on("trust", "unranked", "error", "not run")),
        "## How it was measured",
        items([*(line.text for line in card.seen), *_provenance(card, header)]),
    ]
    return "\n\n".join(part for part in parts if part)


def _models(card: Scorecard) -> str:
    head = [
        "model",
        "rank",
        "clean accuracy, %",
        "robust accuracy, %",
        "certainty, clean → under attack",
        "trust",
    ]
    rows = [
        [
            card.title(m.model), str(m.rank or NONE),
            percent(m.accuracy), percent(m.worst_case, m.trust),
            f"{number(m.certainty)} → {number(m.certainty_adv)}", m.trust,
        ]
        for m in card.models
    ]  # fmt: skip
    return markdown_table(head, rows)


def _rates(card: Scorecard) -> str:
    """Attack success at the headline eps."""
    rates = success_rates(card)
    attacks = dict.fromkeys(c.attack for c in card.crosschecks if c.eps == card.headline_eps)
    rows = [
        [attack, *(own.get(AttackEps(attack, card.headline_eps), NONE) for own in rates.values())]
        for attack in attacks
    ]
    return markdown_table(["attack success, %", *rates], rows) if rows else ""


def _provenance(card: Scorecard, header: RunHeader) -> Iterator[str]:
    packages, p = header.provenance.get("packages", {}), header.provenance
    yield f"run {card.run_id}, {card.status}, seed {header.suite.get('seed', 0)}"
    named = dict.fromkeys(("torch", "peft", *all_distributions()))
    versions = [f"{name} {packages[name]}" for name in named if packages.get(name)]
    yield ", ".join([f"lora-robustness-bench {p.get('bench_version', 'of an unknown version')}", *versions])
