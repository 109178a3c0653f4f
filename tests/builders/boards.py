"""Runs made by hand, stored and scored, that show what a leaderboard can show. Nothing is attacked."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from bench.scoring.score import score
from bench.scoring.scorecard import Scorecard
from bench.store import CellEntry, DataEntry, ModelEntry, OpenRun, StoredRun, open_run
from bench.store.evidence import Evidence
from bench.store.records import Bools, Floats, Records
from tests.builders.runs import cell_entry, run_header

N = 160
LARGER = Fraction(16, 255)
SAMPLE = np.arange(N)
SEES: dict[str, dict[str, Any]] = {
    "base": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "origin": "suite", "size": None},
    "lora|r=8": {
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "origin": "assumed",
        "size": 224,
    },
}
NOTES = {"lora|r=8": ("the prefix 'module.' was taken off <planted>",)}
ORIGIN = {"commit": "", "dirty": False, "started": ""}


def records(
    broken: Bools, *, queries: bool = False, distance: Floats | None = None, eps: Fraction = Fraction(1)
) -> Records:
    """Class 0 everywhere; the first 4 samples are wrong when clean, those of ``broken`` after the attack."""
    clean = (SAMPLE < 4).astype(np.int64)
    success = broken & (clean == 0)
    moved = np.where(clean == 0, min(1 / 32, float(eps)), 0).astype(np.float32)
    prob = np.where(SAMPLE % 2, 0.75, 0.9375).astype(np.float32)
    adv_prob = np.where(success, 0.625, prob).astype(np.float32)
    return Records(
        np.array([f"s{i:03d}" for i in range(N)]), np.zeros(N, np.int64), clean, prob,
        np.where(clean, 1 - prob, prob), np.where(success, 1, clean), adv_prob,
        np.where(success | (clean == 1), 1 - adv_prob, adv_prob), success, moved, moved, moved, moved,
        queries=np.where(success, 2 * (N - SAMPLE), 400 * (clean == 0)) if queries else None,
        distance=None if distance is None else np.where(clean == 0, distance, 0).astype(np.float32),
    )  # fmt: skip


def entry(model: str, seed: int, attack: str, eps: str | Fraction, library: str) -> CellEntry:
    """A cell; the attack's name says what kind it is."""
    pairing = {"fgsm": "exact", "pgd": "statistical"}.get(attack, "single")
    access, budget = (
        "score" if attack == "square" else "white-box",
        "minimum-norm" if attack == "deepfool" else "fixed",
    )
    key = f"{model}-{seed}-{attack}-{eps}-{library}".replace("/", "_")
    return cell_entry(
        model, seed, attack, eps, "linf", library, pairing, key, kind=attack, access=access, budget=budget
    )


def open_board(folder: Path, cells: list[CellEntry], data: DataEntry | None = None) -> OpenRun:
    """The run of ``cells``, none of which is finished; with ``data`` it says what its models see, as older
    ones do not."""
    own = dict.fromkeys((c.model, c.seed) for c in cells)
    models = tuple(ModelEntry(model, seed, "lora", 4136, 11_000_000, f"{model}{seed}") for model, seed in own)
    models = (
        tuple(replace(m, preprocessing=SEES[m.model], notes=NOTES.get(m.model, ())) for m in models)
        if data
        else models
    )
    name = "20260101T000000Z-ffffffff"
    header = run_header(cells, models, N, run_id=name, suite="board", origin=ORIGIN, data=data)
    return open_run(folder, header, fresh=True)


def one_seed(folder: Path) -> Scorecard:
    """Two models: a failed cell and check, libraries that differ, a black box, a minimum-norm attack."""
    carriers = {
        "fgsm": ("foolbox", "art"),
        "pgd": ("foolbox", "art"),
        "square": ("art",),
        "deepfool": ("foolbox",),
    }
    cells = [
        entry(model, 0, attack, eps, library)
        for model in ("base", "lora|r=8")
        for attack, libraries in carriers.items()
        for library in libraries
        for eps in ("8/255", "16/255")
    ]
    run = open_board(
        folder, cells, DataEntry(N, 446, ("healthy", "ill"), 32, (8, 8), notes=("3 samples are <planted>",))
    )
    for cell in cells:
        if (cell.model, cell.attack, cell.library, cell.eps) == ("lora|r=8", "pgd", "art", LARGER):
            run.write_error(cell.key, "RuntimeError: <planted>")
            continue
        found = records_of(cell)
        run.write_cell(cell.key, found, seconds=1.5, forwards=20, backwards=10)
    evidence = [
        Evidence("deterministic", "base", 0, None, None, 0.0, 16, "logits change by 0"),
        Evidence("deterministic", "lora|r=8", 0, None, None, 0.0, 16, "logits change by 0"),
        Evidence("unconstrained", "lora|r=8", 0, "fgsm", "art", 0.25, 16, "4 of 16 samples hold at linf 1/2"),
        *(
            Evidence(
                "unconstrained", "lora|r=8", 0, attack, None, 0.0, 16, "0 of 16 samples hold at linf 1/2"
            )
            for attack in ("pgd", "deepfool")
        ),
        Evidence("binarisation", "base", 0, "square", "art", 0.5, 2, "found 1 of 2 planted adversarials"),
        *(
            Evidence(
                "rounding",
                model,
                0,
                attack,
                None,
                0.0,
                16,
                "0 of 16 adversarials are lost when rounded to 8 bits",
            )
            for model in ("base", "lora|r=8")
            for attack in ("fgsm", "pgd", "deepfool")
        ),
    ]
    run.write_evidence("evidence", evidence, seconds=3.0)
    run.save("incomplete")
    return score(StoredRun(run.path))


def records_of(cell: CellEntry) -> Records:
    """Those of ``cell``: "base" breaks sooner, PGD breaks more through ART."""
    first = {"fgsm": 90, "pgd": 76, "square": 100, "deepfool": 76}[cell.attack] + 40 * (cell.model != "base")
    distance = (8 / 255 * np.maximum(1 + (first - SAMPLE) / 20, 1 / 32)).astype(np.float32)
    first -= 20 * (cell.eps == LARGER) + 16 * (cell.attack == "pgd" and cell.library == "art")
    found = distance if cell.attack == "deepfool" else None
    return records(first <= SAMPLE, queries=cell.attack == "square", distance=found, eps=cell.eps)


def three_seeds(folder: Path) -> Scorecard:
    """Two methods at three training seeds, one attack through both libraries."""
    cells = [
        entry(model, seed, "fgsm", eps, library)
        for model in ("base", "lora")
        for seed in range(3)
        for library in ("foolbox", "art")
        for eps in ("8/255", "16/255")
    ]
    run = open_board(folder, cells)
    for cell in cells:
        first = (120 if cell.model == "base" else 60) + 4 * cell.seed - 40 * (cell.eps == LARGER)
        run.write_cell(cell.key, records(first <= SAMPLE), seconds=1.5, forwards=20, backwards=10)
    run.save("complete")
    return score(StoredRun(run.path))
