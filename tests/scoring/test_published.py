"""What is published of a run is scored as the run is, from its bits; what contradicts itself is refused."""

import json
from dataclasses import asdict, replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.errors import NotComparableError
from bench.scoring.published import Published, from_file, from_text, publish, to_text
from bench.scoring.rescored import rescore
from bench.scoring.score import score
from bench.scoring.scorecard import Scorecard
from bench.store import CellEntry, ModelEntry, StoredRun, open_run
from bench.store.records import Bools as Flags
from bench.store.records import Floats, Records
from tests.builders.runs import cell_entry, run_header

N = 90
ROUNDING = 2e-5
"""Of a certainty, which is published in 65,535ths, and of what is made of it."""
KNOWN = {"switched": ("plain", "lora")}


def records(
    rng: np.random.Generator, strength: float, clean: tuple[Flags, Floats], eps: float, *, random: bool
) -> Records:
    """Class 0 everywhere; of what is right, an attack breaks about ``strength``."""
    correct, prob = clean
    broken = correct & (rng.random(N) < strength)
    adv = np.where(broken | ~correct, 1, 0)
    adv_prob = np.where(correct, rng.uniform(0.5, 1, N), prob).astype(np.float32)
    true = [
        np.where(right, certainty, 1 - certainty)
        for right, certainty in ((correct, prob), (adv == 0, adv_prob))
    ]
    moved = np.where(correct, eps, 0).astype(np.float32)
    chances: dict[str, Any] = {}
    if random:
        after = np.where(adv == 0, rng.uniform(0.5, 1, N), rng.uniform(0, 0.5, N)).astype(np.float32)
        right = np.where(correct, 1.0, 0.25).astype(np.float32)
        chances = {"clean_right": right, "adv_right": after, "adv_choice": np.roll(after, 1)}
    return Records(
        np.array([f"s{i:03d}" for i in range(N)]), np.zeros(N, np.int64), np.where(correct, 0, 1), prob,
        true[0], adv, adv_prob, true[1], broken, moved, moved, moved, moved, **chances,
    )  # fmt: skip


def run_of(folder: Path, seeds: int, *, defended: bool = False) -> StoredRun:
    """Models attacked by FGSM and, through both libraries, PGD at two eps; one that is ``defended``
    switches between others."""
    rng = np.random.default_rng(seeds)
    models = ("plain", "lora", *(KNOWN if defended else ("weak",)))
    carried = (("fgsm", "foolbox"), ("pgd", "foolbox"), ("pgd", "art"))
    asked = list(product(models, range(seeds), carried, ("8/255", "16/255")))
    cells: dict[CellEntry, Records] = {}
    clean = {
        (m, s): (rng.random(N) < 0.9, rng.uniform(0.5, 1, N).astype(np.float32))
        for m in models
        for s in range(seeds)
    }
    for m, s, (attack, library), eps in asked:
        roles = ("naive", "adaptive") if m in KNOWN else ("",)
        for role in roles:
            strength = (
                0.3 + 0.02 * s + 0.3 * (m == "weak") + 0.2 * (eps == "16/255") + 0.1 * (role == "adaptive")
            )
            name = attack if role != "adaptive" else f"{attack} (mean loss)"
            key = f"{m}-{s}-{name}-{eps}-{library}".replace("/", "_")
            facts = {
                "kind": attack,
                "access": "white-box",
                "budget": "fixed",
                "role": role,
                "draws": 32 if role else 0,
            }
            entry = cell_entry(m, s, name, eps, "linf", library, "statistical", key, **facts)
            cells[entry] = records(rng, strength, clean[m, s], float(Fraction(eps)), random=m in KNOWN)
    entries = tuple(ModelEntry(m, s, "lora", 10, 100, f"{m}{s}", of=KNOWN.get(m, ())) for m, s in clean)
    run = open_run(folder, run_header(cells, entries, N), fresh=True)
    for entry, found in cells.items():
        run.write_cell(entry.key, found, seconds=1.0)
    run.save("complete")
    return StoredRun(run.path)


def both(folder: Path, seeds: int, **facts: bool) -> tuple[Scorecard, Published]:
    run = run_of(folder, seeds, **facts)
    return score(run), from_text(to_text(publish(run)), "text")


def assert_same(found: Any, expected: Any) -> None:
    """Dataclasses, their lists and values: numbers but for the rounding of certainties."""
    flat, wanted = (
        json.loads(json.dumps([asdict(row) for row in rows], default=str)) for rows in (found, expected)
    )
    assert len(flat) == len(wanted) > 0
    for one, other in zip(flat, wanted, strict=True):
        assert _leaves(one) == pytest.approx(_leaves(other), abs=50 * ROUNDING, nan_ok=True)


def _leaves(value: Any, at: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for name, inner in value.items() for k, v in _leaves(inner, f"{at}.{name}").items()}
    return {at: value}


@pytest.mark.parametrize("seeds", [1, 3])
def test_what_is_published_gives_the_same_tests_and_sentences_as_the_run(seeds: int, tmp_path: Path) -> None:
    card, published = both(tmp_path, seeds)
    found = rescore(published)
    assert_same(found.claims, card.claims)
    assert_same(found.headline, card.headline)
    assert_same(found.comparisons, card.comparisons)
    assert [s.text for s in found.sentences if "certainty" not in s.text] == [
        s.text for s in card.sentences if "certainty" not in s.text
    ]
    assert found.method == card.method
    assert any(s.shown for s in found.sentences), "weak is weaker"
    if seeds > 1:
        assert_same(found.seeds, card.seeds)
    assert (published.status, published.samples, sum(published.crosschecks.values())) == (
        "complete",
        N,
        len(card.crosschecks),
    )


def test_shares_and_their_intervals_are_the_leaderboards(tmp_path: Path) -> None:
    card, published = both(tmp_path / "three", 3)
    rates = {(r.model, r.attack, r.eps): r for r in rescore(published).rates}
    assert len(rates) == len(card.seed_rates) == 12
    for rate in card.seed_rates:
        mine = rates[rate.model, rate.attack, rate.eps]
        assert rate.asr is not None
        assert mine.asr is not None
        assert (mine.asr.value, mine.asr.low, mine.asr.high) == (rate.asr.mean, rate.asr.low, rate.asr.high)
        assert mine.certainty.low == pytest.approx(rate.certainty_adv_low, abs=ROUNDING)
    card, published = both(tmp_path / "one", 1)
    by_name = {m.model: m for m in rescore(published).models}
    for model in card.models:
        assert model.worst_case is not None
        worst = by_name[model.model.name].worst_case
        assert worst is not None
        assert (worst.value, worst.low, worst.high) == (
            model.worst_case.value,
            model.worst_case.low,
            model.worst_case.high,
        )
        assert by_name[model.model.name].certainty.value == pytest.approx(model.certainty, abs=ROUNDING)


def test_random_models_and_what_defences_gain_are_published_too(tmp_path: Path) -> None:
    card, published = both(tmp_path, 1, defended=True)
    found = rescore(published)
    assert_same(found.defences, card.defences)
    assert [d.sentence for d in found.defences] == [d.sentence for d in card.defences]
    assert "for an adaptive one" in found.defences[0].sentence
    assert_same(found.headline, card.headline)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return to_text(publish(run_of(tmp_path_factory.mktemp("run"), 1)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "newer version: schema 2, this one reads up to 1"),
        ({"samples": N + 8}, "are not those of 98 samples"),
        ({"surprise": 1}, "surprise"),
        ({"cells": "twice"}, "a cell is there twice"),
        ({"cells": "right"}, "right under attack that was wrong before it"),
        ({"cells": "stranger"}, "is not among its models"),
    ],
)
def test_what_contradicts_itself_is_refused_by_name(
    change: dict[str, Any], message: str, text: str, tmp_path: Path
) -> None:
    data = json.loads(text)
    first = data["cells"][0]
    cells = {
        "twice": [first, first],
        "right": [{**first, "wrong": "A" * len(first["wrong"])}],
        "stranger": [{**first, "model": "nobody"}],
    }
    change = {"cells": cells[change["cells"]]} if "cells" in change else change
    (tmp_path / "file.json").write_text(json.dumps({**data, **change}))
    with pytest.raises(NotComparableError, match=message) as error:
        from_file(tmp_path / "file.json")
    assert "file.json" in str(error.value)


def test_it_holds_neither_places_nor_machines(tmp_path: Path) -> None:
    run = run_of(tmp_path, 1)
    origin = {
        "commit": "abc",
        "code": "d",
        "command": "bench run /secret",
        "processor": "P",
        "platform": "L",
        "packages": {"torch": "2"},
    }
    run.header = replace(run.header, origins={"o": origin})
    text = to_text(publish(run))
    assert '"torch": "2"' in text
    assert not [word for word in ("/secret", "command", "processor", "platform", "s000") if word in text]
