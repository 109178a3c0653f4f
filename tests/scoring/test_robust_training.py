"""What a stored run says of adversarial training: answers with paired intervals, a collapse by name, the
curves as a figure."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from bench.errors import NotComparableError
from bench.render import leaderboard, to_json, to_markdown
from bench.render.figures import make_figures
from bench.render.report import to_html
from bench.scoring.overfitting import overfitting, with_training
from bench.scoring.robust_training import GIVES, KEEPS, NEAR, Difference, _nothing
from bench.scoring.score import score
from bench.scoring.scorecard import Scorecard
from bench.scoring.statistics import mcnemar
from bench.scoring.trust import CellTrust
from bench.store import ModelEntry, StoredRun, open_run, parse_header
from bench.store.shapes import Robust
from tests.builders.boards import ORIGIN, SAMPLE, N, entry, records
from tests.builders.runs import run_header

LORA = {"method": "lora", "r": 8, "targets": ["fc"]}
PGD = {"adversarial": {"method": "pgd", "eps": "8/255"}}
ROBUST = {"architecture": "resnet18", "pretrain": {"training": PGD}}
MODELS: dict[str, tuple[dict[str, Any], int, int]] = {
    "full-adv": ({"adaptation": {"method": "full"}, "training": PGD}, 1_000_000, 100),
    "lora": ({"adaptation": LORA}, 5_000, 10),
    "lora-adv": ({"adaptation": LORA, "training": PGD}, 5_000, 60),
    "robust-full-adv": (
        {"adaptation": {"method": "full"}, "training": PGD, "backbone": ROBUST},
        1_000_000,
        105,
    ),
    "robust-lora": ({"adaptation": LORA, "backbone": ROBUST}, 5_000, 70),
    "robust-lora-adv": ({"adaptation": LORA, "training": PGD, "backbone": ROBUST}, 5_000, 101),
}
"""Declaration, trained parameters, and from which sample on FGSM breaks it (the first 4 are wrong before)."""
CURVES = Robust("pgd", "linf", "8/255", 40, (0.03, 0.03), (0.8, 0.9), (0.5, 0.6), (0.45, 0.5), kept=2)


def board(folder: Path, robust: dict[str, Robust] | None = None, seeds: int = 1) -> Scorecard:
    cells = [
        entry(model, seed, "fgsm", "8/255", library)
        for model in MODELS
        for seed in range(seeds)
        for library in ("foolbox", "art")
    ]
    models = [_model(name, seed, (robust or {}).get(name)) for name in MODELS for seed in range(seeds)]
    header = run_header(
        cells, tuple(models), N, run_id="20260101T000000Z-ffffffff", suite="board", origin=ORIGIN
    )
    declared = [{"name": name, **declared} for name, (declared, *_) in MODELS.items()]
    suite = {"backbone": {"architecture": "resnet18"}, "training": {"epochs": 3}, "models": declared}
    run = open_run(folder, replace(header, suite=suite), fresh=True)
    for cell in cells:
        first = MODELS[cell.model][2] + 4 * cell.seed
        run.write_cell(cell.key, records(first <= SAMPLE), seconds=1.5, forwards=20, backwards=10)
    run.save("complete")
    return score(StoredRun(run.path))


def _model(name: str, seed: int, robust: Robust | None) -> ModelEntry:
    declared, count, _ = MODELS[name]
    method = declared["adaptation"]["method"]
    return ModelEntry(name, seed, method, count, 1_000_000, f"{name}{seed}", losses=(1.0, 0.5), robust=robust)


def texts(card: Scorecard, question: str) -> dict[str, str]:
    return {answer.model: answer.text for answer in card.answers if answer.question == question}


def test_the_three_questions_are_answered_with_paired_differences(tmp_path: Path) -> None:
    card = board(tmp_path)
    kept, given, near = (texts(card, question) for question in (KEEPS, GIVES, NEAR))
    assert set(kept) == {"robust-lora"}
    assert set(given) == set(near) == {"lora-adv", "robust-lora-adv"}
    points = 100 / N
    assert f"robust accuracy +{60 * points:.1f} points" in kept["robust-lora"]
    assert "against lora, p < 0.001" in kept["robust-lora"]
    assert f"robust accuracy -{35 * points:.1f} points" in kept["robust-lora"]
    assert kept["robust-lora"].endswith("in part")
    assert f"robust accuracy +{50 * points:.1f} points" in given["lora-adv"]
    assert "clean accuracy +0.0 points" in given["lora-adv"]
    assert given["lora-adv"].endswith("yes; no price in clean accuracy shown")
    assert near["lora-adv"].endswith("with 0.5 % of the trained parameters: it is less robust")
    assert "no difference shown (could have shown" in near["robust-lora-adv"]


def test_p_values_are_mcnemars_corrected_over_all_answers(tmp_path: Path) -> None:
    card = board(tmp_path)
    found = {
        (d.model, d.against): d
        for answer in card.answers
        for d in answer.differences
        if d.quantity == "robust accuracy"
    }
    assert len(found) == 6
    close = found["robust-lora-adv", "robust-full-adv"]
    assert (close.value, close.difference) == pytest.approx((97 / N, -4 / N))
    assert close.p_value < mcnemar(0, 4)  # mid-p
    assert close.p_adjusted == pytest.approx(close.p_value), "the largest of a family is left as it is"
    ordered = sorted(found.values(), key=lambda d: d.p_value)
    assert ordered[0].p_adjusted == pytest.approx(6 * ordered[0].p_value)


def test_over_seeds_trainings_vary_too(tmp_path: Path) -> None:
    card = board(tmp_path, seeds=3)
    (kept,) = (a for a in card.answers if a.question == KEEPS)
    against = kept.differences[0]
    assert against.difference == pytest.approx(60 / N)
    assert against.low < against.difference < against.high


@pytest.mark.parametrize(("low", "said"), [(-0.02, ""), (0.01, " after correction")])
def test_a_null_whose_own_interval_leaves_out_zero_owes_it_to_the_correction(low: float, said: str) -> None:
    null = Difference("robust accuracy", "a", "b", 0.7, 0.1, low, 0.2, 0.03, 0.09, 0.15)
    assert _nothing([null]) == f"no difference shown{said} (could have shown 15.0)"


def test_every_format_has_the_answers(tmp_path: Path) -> None:
    import json

    card = board(tmp_path, {"full-adv": CURVES})
    console = Console(width=500, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(leaderboard(card, 500))
    shown, written = console.export_text(), to_markdown(card)
    for answer in card.answers:
        assert answer.question in shown
        assert answer.text in shown
        assert answer.text.split(" [")[0] in written
    data = json.loads(to_json(card))
    assert [a["question"] for a in data["answers"]] == [a.question for a in card.answers]
    first = {d["quantity"] for a in data["answers"] for d in a["differences"]}
    assert first == {"robust accuracy", "clean accuracy"}
    models = {m["model"]: m for m in data["models"]}
    assert models["full-adv"]["robust"]["pgd"] == [0.45, 0.5]
    assert models["lora"]["robust"] is None
    assert models["lora"]["losses"] == [1.0, 0.5]
    run = next(tmp_path.glob("board/2026*"))
    assert "What adversarial training does for adapters" in to_html(card, StoredRun(run).header, None)


def test_a_suite_without_adversarial_training_answers_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, "lora-adv", ({"adaptation": LORA}, 5_000, 60))
    for name in ("full-adv", "robust-full-adv", "robust-lora", "robust-lora-adv"):
        monkeypatch.delitem(MODELS, name)
    card = board(tmp_path)
    assert card.answers == ()


def test_the_curves_are_drawn_one_panel_a_model(tmp_path: Path) -> None:
    collapsed = replace(CURVES, collapsed=2, kept=1)
    figure = make_figures(board(tmp_path, {"full-adv": CURVES, "lora-adv": collapsed}))["training"]
    panels = [axis for axis in figure.axes if axis.get_visible()]
    assert sorted(axis.get_title() for axis in panels) == [
        "full-adv: pgd, eps 8/255",
        "lora-adv: pgd, eps 8/255",
    ]
    drawn = {line.get_label(): line for line in panels[-1].lines}
    np.testing.assert_allclose(drawn["PGD-10"].get_ydata(), [45, 50])  # type: ignore[arg-type]
    assert {"clean", "FGSM", "PGD-10", "weights that stay", "collapse"} == set(drawn)
    assert "training" not in make_figures(board(tmp_path / "plain"))


COLLAPSED = replace(CURVES, method="fast", fgsm=(0.5, 0.95), pgd=(0.4, 0.02), collapsed=2, kept=1)


@pytest.mark.parametrize(
    ("training", "kind", "grade"),
    [
        (CURVES, "fgsm", "pass"),
        (COLLAPSED, "fgsm", "warn"),
        (COLLAPSED, "pgd", "warn"),
        (replace(COLLAPSED, kept=2), "pgd", "warn"),
        (replace(COLLAPSED, kept=2), "fgsm", "fail"),
    ],
)
def test_a_collapse_is_graded_by_whose_weights_stayed(training: Robust, kind: str, grade: str) -> None:
    found = overfitting(kind, training)
    assert (found.check, found.grade) == ("overfitting", grade)
    if training.collapsed:
        assert (
            "fast training collapsed in epoch 2 (held-out accuracy 95% under FGSM, 2% under PGD)"
            in found.detail
        )
    assert with_training(CellTrust("unchecked", ()), kind, CURVES).grade == "unchecked", (
        "a pass proves nothing else"
    )
    assert with_training(CellTrust("pass", ()), kind, None).findings == ()


def test_a_collapse_stands_on_the_leaderboard(tmp_path: Path) -> None:
    card = board(tmp_path, {"lora-adv": COLLAPSED})
    grades = {
        f.grade
        for c in card.cells
        if c.entry.model == "lora-adv" and c.trust
        for f in c.trust.findings
        if f.check == "overfitting"
    }
    assert grades == {"warn"}
    assert "overfitting: warn on lora-adv" in to_markdown(card)


def test_a_header_is_read_as_it_was_written_and_broken_curves_are_refused(tmp_path: Path) -> None:
    card = board(tmp_path, {"lora-adv": COLLAPSED})
    header = StoredRun(next(tmp_path.glob("board/2026*"))).header
    assert {m.model: m.robust for m in header.models}["lora-adv"] == COLLAPSED
    assert card.status == "complete"
    fields = asdict(header) | {"headline_eps": "8/255", "cells": ()}
    fields["models"] = [asdict(m) for m in header.models]
    next(m for m in fields["models"] if m["model"] == "lora-adv")["robust"]["pgd"] = [0.4]
    with pytest.raises(NotComparableError, match="not of the same epochs"):
        parse_header(fields, "run.json")
