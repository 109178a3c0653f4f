"""A model judged as a user's is, with the effort that a user gets, beside what an attacker who knows of
its mask finds."""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.images import ImageSet
from bench.attacks.spec import Attack, Fgsm, Pgd, contract_of, pairing_of, used_by
from bench.engine.plan import Cell, Unit
from bench.engine.prepare import prepare
from bench.engine.runner import run_unit
from bench.ids import ModelId
from bench.scoring.grading import grade_model
from bench.scoring.record_checks import Scored
from bench.scoring.soundness import support
from bench.scoring.trust import CellTrust
from bench.store import CellEntry
from bench.store.records import Bools, CellOutcomes, Records
from bench.trust.effort import BACKWARD, plan_effort
from bench.trust.examine import Subject, examine

GRID = tuple(Fraction(n, 255) for n in (1, 2, 4, 8, 12, 16))
"""The default suite's."""
ATTACKS: tuple[Attack, ...] = (Fgsm(attack="fgsm"), Pgd(attack="pgd", steps=10, rel_step_size=0.25))


@dataclass(frozen=True)
class Setting:
    """A suite in short: its attacks, their grid, and the eps that models are ranked at."""

    headline: Fraction = Fraction(12, 255)
    grid: Sequence[Fraction] = GRID
    attacks: Sequence[Attack] = ATTACKS
    carriers: Sequence[Any] = ("foolbox", "art")
    level: Any = "fast"


@dataclass(frozen=True)
class Judged:
    """A model's cells with their trust, by attack, library and eps; ``robust`` is the worst case, in
    samples of ``n``."""

    trust: dict[tuple[str, str, Fraction], CellTrust]
    supporting: CellTrust
    broken: Bools
    correct: Bools
    cost: float
    evidence: list[Any] = field(default_factory=list)

    def flagged(self) -> dict[str, str]:
        """Checks that warn or fail of the cell that the worst case rests on, with the grade."""
        return {f.check: f.grade for f in self.supporting.findings if f.grade in ("warn", "fail")}


def judge(model: Classifier, samples: ImageSet, setting: Setting = Setting(), **known: Any) -> Judged:
    """Attack ``model`` and grade it, as a run does; ``known`` goes on to the subject that is examined."""
    target = prepare(model, samples, None, "fp32")
    units = [
        Unit(
            ModelId("model", 0),
            attack,
            carrier,
            tuple(Cell(eps, f"{attack.label} {carrier} {eps}") for eps in setting.grid),
        )
        for attack in setting.attacks
        for carrier in setting.carriers
    ]
    started = time.perf_counter()
    results = {unit: run_unit(unit, target) for unit in units}
    attacked = time.perf_counter() - started
    cells = [
        Scored(_entry(unit, cell), _outcomes(records))
        for unit, result in results.items()
        for cell, records in zip(unit.cells, result.records, strict=True)
    ]
    costs = {unit: result.forwards + BACKWARD * result.backwards for unit, result in results.items()}
    started = time.perf_counter()
    at = [c for c in cells if c.eps == setting.headline]
    broken = reduce(np.logical_or, (c.success for c in at))
    libraries = list(dict.fromkeys(name for u in units for name in used_by(u.attack, u.library)))
    subject = Subject(model, target, setting.headline, {"linf": broken}, libraries=libraries, **known)
    found = examine(subject, plan_effort(setting.level, costs, len(target.correct)))
    cost = (time.perf_counter() - started) / attacked
    grades = grade_model(cells, np.array(samples.ids), found)
    trust = {(c.entry.attack, c.entry.library, c.eps): grades[c.entry.key] for c in cells}
    return Judged(trust, grades[support(at, grades).entry.key], broken, at[0].correct, cost, found)


def _entry(unit: Unit, cell: Cell) -> CellEntry:
    contract, pairing = contract_of(unit.attack), pairing_of(unit.attack, unit.library)
    return CellEntry(
        "model", 0, unit.attack.label, cell.eps, unit.attack.norm, unit.library, pairing, cell.key, "ok",
        kind=unit.attack.attack, access=contract.access, budget=contract.budget,
    )  # fmt: skip


def _outcomes(r: Records) -> CellOutcomes:
    return CellOutcomes(r.id, r.label, r.clean_pred == r.label, r.success, float(r.linf.max()))


def overstated(
    judged: Judged, model: Classifier, fair: Sequence[Classifier], samples: ImageSet, headline: Fraction
) -> float:
    """The share of ``samples`` that ``judged`` calls robust and attackers with the ``fair`` copies break."""
    untouched = copy.deepcopy(model)
    found = broken_in_truth([*fair, copy.deepcopy(model)], untouched, samples, float(headline))
    return float((found & judged.correct & ~judged.broken).mean())


def broken_in_truth(
    models: Sequence[Classifier], judged_by: Classifier, samples: ImageSet, eps: float
) -> Bools:
    """Samples that ``judged_by`` gets wrong within ``eps`` (linf), by margin descent on each of ``models``,
    its fair copies.

    Each image is judged in the company of all samples in order, by the most frequent of three answers.
    """
    x, y = torch.from_numpy(samples.x), torch.from_numpy(samples.labels)
    found = np.zeros(len(x), bool)
    generator = torch.Generator().manual_seed(1)
    for model in models:
        for restart in range(2):
            found |= _wrong(judged_by, _descend(model, x, y, eps, restart, generator), y)
    return found


@torch.no_grad()
def _wrong(model: nn.Module, x: Tensor, y: Tensor) -> Bools:
    wrong: Bools = (torch.stack([model(x).argmax(1) for _ in range(3)]).mode(0).values != y).numpy()
    return wrong


def _descend(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, restart: int, generator: torch.Generator
) -> Tensor:
    moved = x.clone()
    if restart:
        moved = (x + eps * (2 * torch.rand(x.shape, generator=generator) - 1)).clamp(0, 1)
    for step in range(30):
        moved.requires_grad_(True)
        logits = model(moved)
        others = logits.scatter(1, y[:, None], -torch.inf).amax(1)
        (gradient,) = torch.autograd.grad((others - logits.gather(1, y[:, None])[:, 0]).sum(), moved)
        size = eps * (0.25 if step < 20 else 0.05)
        moved = (x + (moved.detach() + size * gradient.sign() - x).clamp(-eps, eps)).clamp(0, 1).detach()
    return moved
