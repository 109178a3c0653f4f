"""Runs of the closed-form models, really attacked and really stored, for tests of what is made of runs."""

import hashlib
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from adapters.classifier import Classifier
from adapters.images import ImageSet
from bench.attacks.registry import Library
from bench.attacks.spec import Fgsm, Pgd, contract_of, pairing_of, parameters
from bench.cli.commands import main
from bench.engine.plan import Cell, Unit, content_key
from bench.engine.runner import make_target, run_unit
from bench.ids import ModelId
from bench.store import SCHEMA_VERSION, CellEntry, ModelEntry, RunHeader, new_run_id, open_run
from tests.builders.attacking import DEFAULT
from tests.builders.linear import SHAPE, WEIGHT, Linear

GRID = (Fraction(8, 255), Fraction(16, 255), Fraction(32, 255))
PROVENANCE: dict[str, Any] = {
    "bench_version": "0.1.0", "commit": "a" * 40, "dirty": False, "code": "c" * 64, "python": "3.11.7",
    "platform": "Linux", "processor": "P", "device": "cpu",
    "packages": {"torch": "2.6.0", "foolbox": "3.3.4", "adversarial-robustness-toolbox": "1.20.1"},
    "command": "bench run", "started": "2026-01-01T00:00:00+00:00",
}  # fmt: skip


def scene_samples(count: int = 120) -> ImageSet:
    """Images whose offset from grey points to their class in every coordinate, the farthest in the first."""
    rng = np.random.default_rng(1)
    labels = np.arange(count) % 2
    offset = rng.integers(2, 40, size=(count, 12))
    offset[:, 0] = rng.integers(30, 60, size=count)
    towards = np.where(labels == 1, 1, -1)[:, None] * np.sign(WEIGHT.numpy())
    images = (128 + towards * offset).astype(np.uint8).reshape(count, *SHAPE)
    return ImageSet(
        images, labels.astype(np.int64), tuple(f"scene/{i:03d}" for i in range(count)), ("low", "high")
    )


def linear_model(weight: torch.Tensor = WEIGHT) -> Classifier:
    """The linear model with ``weight``; its boundary passes through grey."""
    network = Linear(weight, bias=float(-weight.sum() * 128 / 255))
    return Classifier(network, mean=(0, 0, 0), std=(1, 1, 1), num_classes=2).eval()


ROBUST = torch.tensor([1.0] + [0.0] * 11)
"""Weights that look at the farthest coordinate only."""
STURDY = WEIGHT * torch.tensor([6.0] + [1.0] * 11)
"""Weights that look at the farthest coordinate before the others."""
BROKEN = WEIGHT * torch.tensor([-1.0, 1.0] * 6)
"""Weights of which every second has the wrong sign."""


@dataclass(frozen=True)
class Scene:
    """What is run: models by name, samples, attacks, and what the suite and the provenance say of it."""

    models: dict[str, torch.Tensor] = field(default_factory=lambda: {"base": WEIGHT, "lora": WEIGHT * 2})
    samples: ImageSet = field(default_factory=scene_samples)
    attacks: tuple[Fgsm | Pgd, ...] = (
        Fgsm(attack="fgsm"),
        Pgd(attack="pgd", name="pgd", steps=10, rel_step_size=0.25),
    )
    gate: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=lambda: dict(PROVENANCE))


def store_with_reference(results: Path, scene: Scene | None = None) -> Path:
    """A run of ``scene``, as a rule ``Scene()``, and its reference, in ``results``; returns ``results``."""
    store_scene(results, scene)
    assert main(["reference", "update", "latest", "--results", str(results)]) == 0
    return results


def store_scene(
    results: Path, scene: Scene | None = None, *, failing: str | None = None, fresh: bool = True
) -> Path:
    """Attack and store ``scene``; the cells of the attack ``failing`` become error cells.

    Returns the run's folder. Unless ``fresh``, cells that ``results`` holds are taken over.
    """
    scene = scene or Scene()
    units = [
        _unit(scene, model, attack, library)
        for model in scene.models
        for attack in scene.attacks
        for library in DEFAULT
    ]
    run = open_run(results, _header(scene, units), fresh=fresh)
    for unit in units:
        if not run.missing(unit.keys):
            continue
        if unit.attack.label == failing:
            for cell in unit.cells:
                run.write_error(cell.key, "RuntimeError: planted")
            continue
        result = run_unit(unit, make_target(linear_model(scene.models[unit.model.name]), scene.samples, 64))
        for cell, records in zip(unit.cells, result.records, strict=True):
            run.write_cell(cell.key, records)
    run.save("complete" if failing is None else "incomplete")
    return run.path


def _unit(scene: Scene, model: str, attack: Fgsm | Pgd, library: Library) -> Unit:
    facts = {
        "model": _sha(scene.models[model]),
        "name": model,
        "data": scene.samples.content_hash,
        "library": library,
    }
    keys = [
        content_key({**facts, "attack": [attack.label, parameters(attack)], "eps": str(eps)}) for eps in GRID
    ]
    return Unit(ModelId(model, 0), attack, library, tuple(map(Cell, GRID, keys)))


def _sha(weight: torch.Tensor) -> str:
    return hashlib.sha256(weight.numpy().tobytes()).hexdigest()


def _header(scene: Scene, units: list[Unit]) -> RunHeader:
    fingerprint = content_key({"cells": [cell.key for unit in units for cell in unit.cells]})
    return RunHeader(
        schema_version=SCHEMA_VERSION,
        run_id=new_run_id(fingerprint),
        fingerprint=fingerprint,
        status="running",
        suite_name="scene",
        headline_eps=GRID[1],
        suite={
            "name": "scene",
            "data": {"source": "scene"},
            "models": [{"name": name} for name in scene.models],
            "attacks": [attack.model_dump(mode="json") for attack in scene.attacks],
            "seed": 0,
            "batch_size": 64,
            "precision": "fp32",
            "gate": scene.gate,
        },
        data_hash=scene.samples.content_hash,
        samples=len(scene.samples),
        provenance=scene.provenance,
        models=tuple(ModelEntry(n, 0, "lora", 1, 12, _sha(w)) for n, w in scene.models.items()),
        cells=tuple(_entry(unit, cell) for unit in units for cell in unit.cells),
    )


def _entry(unit: Unit, cell: Cell) -> CellEntry:
    contract = contract_of(unit.attack)
    place = unit.model.name, unit.model.seed, unit.attack.label, cell.eps, unit.attack.norm, unit.library
    return CellEntry(
        *place,
        pairing_of(unit.attack, unit.library),
        cell.key,
        kind=unit.attack.attack,
        access=contract.access,
    )


def relabelled(samples: ImageSet) -> ImageSet:
    """``samples`` with the label file of another set: every label swapped."""
    return replace(samples, labels=1 - samples.labels)
