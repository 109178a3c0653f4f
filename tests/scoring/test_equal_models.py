"""The same model twice in one suite (A/A): nothing tells the two apart, and the leaderboard says so."""

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import render
from bench.scoring.score import score
from bench.scoring.scorecard import Scorecard
from bench.store import ModelEntry, StoredRun, open_run
from bench.store.evidence import Evidence
from tests.builders.runs import cell_entry, run_header
from tests.scoring.test_scoring import SAMPLE, N, records, shown


def twice(folder: Path, seeds: tuple[int, ...], attack: str = "pgd") -> Scorecard:
    """Models a and b that share their records, and a weaker one; only a was examined.

    A warning is an error.
    """
    access = "score" if attack == "square" else "white-box"
    facts: dict[str, Any] = {"kind": attack, "access": access, "budget": "fixed"}
    entries = {
        cell_entry(model, seed, attack, "8/255", "linf", "art", "single", key, **facts): broken
        for model, key, broken in (
            ("a", "equal", SAMPLE >= 150),
            ("b", "equal", SAMPLE >= 150),
            ("c", "other", SAMPLE >= 60),
        )
        for seed in seeds
    }
    models = tuple(
        ModelEntry(m, s, "none", 0, 10, "other" if m == "c" else "equal")
        for m in ("a", "b", "c")
        for s in seeds
    )
    header = run_header(entries, models, N)
    run = open_run(folder, header, fresh=True)
    for entry, broken in entries.items():
        found = records(4, broken)
        queries = np.where(found.clean_pred == 0, 7, 0) if attack == "square" else None
        run.write_cell(entry.key, replace(found, queries=queries), seconds=1.0)
    run.write_evidence(
        "evidence", [Evidence("deterministic", "a", seeds[0], None, None, 0.0, 16, "by 0")], seconds=0.1
    )
    run.save("complete")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return score(StoredRun(run.path))


def refuse(name: str) -> Any:
    """JSON has no such number."""
    raise ValueError(name)


@pytest.mark.parametrize("seeds", [(0,), (0, 1), (0, 1, 2)])
def test_equal_models_are_said_to_be_equal(tmp_path: Path, seeds: tuple[int, ...]) -> None:
    card = twice(tmp_path, seeds)
    said = [s.text for s in card.sentences if s.text.startswith("b vs a")]
    assert len(said) == 5
    assert all("equal on every sample" in text and "+0.0" in text for text in said)
    assert not [s.text for s in card.sentences if s.text.startswith("c vs a, pgd") and "equal" in s.text]
    ranks = {m.model.name: m.rank for m in card.models}
    assert ranks["a"] == ranks["b"]
    found = json.loads(render.to_json(card), parse_constant=refuse)
    assert {c["certainty_adv"] for c in found["cells"] if c["model"] == "a"} == {
        c["certainty_adv"] for c in found["cells"] if c["model"] == "b"
    }
    for width in (80, 140):
        assert "nan" not in shown(card, width).lower()


def test_equal_models_share_what_was_measured_of_either(tmp_path: Path) -> None:
    card = twice(tmp_path, (0, 1))
    grades = {(c.entry.model, c.trust.grade) for c in card.cells if c.trust}
    checks = {
        c.entry.model: [f.check for f in c.trust.findings if f.grade == "pass"] for c in card.cells if c.trust
    }
    assert len({grade for model, grade in grades if model in "ab"}) == 1
    assert "deterministic" in checks["a"] == checks["b"]
    assert "deterministic" not in checks["c"]


def test_each_of_equal_models_has_its_queries(tmp_path: Path) -> None:
    assert [q.entry.model for q in twice(tmp_path, (0,), "square").queries] == ["a", "b", "c"]
