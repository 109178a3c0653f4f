"""One unit: a classifier, samples and an attack through one library -> per-sample records of each cell."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adapters.classifier import Classifier, Predictions, predict
from adapters.images import ImageSet
from bench.attacks.access import CountedAccess
from bench.attacks.libraries import make_craft
from bench.plan import Unit
from bench.records import Floats, Ints, Records

Rows = dict[str, Any]
"""Adversarial columns by name, each an array with one entry per sample."""

SLACK = 1e-6
"""How far an adversarial may leave its budget or the box through float32 rounding."""


class AttackError(Exception):
    """An attack gave something that must not count: it becomes an error cell with this reason."""


@dataclass(frozen=True)
class Target:
    """A classifier ready to be attacked, its samples, and what it says of them unattacked."""

    classifier: Classifier
    samples: ImageSet
    clean: Predictions
    batch_size: int

    @property
    def correct(self) -> Ints:
        """Positions of the samples predicted correctly: those that are attacked."""
        return np.flatnonzero(self.clean.pred == self.samples.labels)


@dataclass(frozen=True)
class UnitResult:
    """A unit's records, one per eps, and what they cost; on request its images (float32, N x C x H x W), one per eps."""

    records: list[Records]
    seconds: float
    forwards: int
    backwards: int
    images: list[Floats] | None = None


def make_target(classifier: Classifier, samples: ImageSet, batch_size: int) -> Target:
    """``classifier`` and its clean predictions of ``samples``, made once for all attacks."""
    x, y = torch.from_numpy(samples.x), torch.from_numpy(samples.labels)
    parts = [
        predict(classifier, x[i : i + batch_size].to(classifier.device), y[i : i + batch_size].to(classifier.device))
        for i in range(0, len(samples), batch_size)
    ]
    return Target(classifier, samples, _join(parts), batch_size)


def run_unit(unit: Unit, target: Target, *, keep_images: bool = False) -> UnitResult:
    """Attack the correctly predicted samples of ``target`` at every eps of ``unit``.

    Raises AttackError if an adversarial is not finite, leaves [0, 1] or its budget; and whatever the library raises.
    """
    started = time.perf_counter()
    device = target.classifier.device
    access = CountedAccess(target.classifier)
    craft = make_craft(
        unit.attack, unit.library, access, target.samples.input_shape, target.classifier.num_classes, str(device)
    )
    grid = [float(cell.eps) for cell in unit.cells]
    rows = [_clean_rows(target) for _ in grid]
    images = [target.samples.x for _ in grid] if keep_images else None
    for index in _batches(target.correct, target.batch_size):
        x = torch.from_numpy(target.samples.x[index]).to(device)
        y = torch.from_numpy(target.samples.labels[index]).to(device)
        for i, adversarial in enumerate(craft(x, y, grid)):
            _write_rows(rows[i], index, _judge(unit, target.classifier, x, y, adversarial, grid[i]))
            if images is not None:
                images[i][index] = adversarial.cpu().numpy()
    records = [_records(target, row) for row in rows]
    return UnitResult(records, time.perf_counter() - started, access.forwards, access.backwards, images)


def _batches(index: Ints, size: int) -> list[Ints]:
    return [index[i : i + size] for i in range(0, len(index), size)]


def _judge(unit: Unit, classifier: Classifier, x: Tensor, y: Tensor, adversarial: Tensor, eps: float) -> Rows:
    """Check ``adversarial``, then predict it again: its predictions and distances are ours, never the library's."""
    distances = measure(x, adversarial)
    check(adversarial, distances[unit.attack.norm], eps)
    said = predict(classifier, adversarial, y)
    return {"adv_pred": said.pred, "adv_prob": said.prob, "adv_prob_true": said.prob_true, **distances}


def measure(x: Tensor, adversarial: Tensor) -> dict[str, Floats]:
    """Distances per sample on the [0, 1] scale; l0 counts pixels (positions changed in any channel)."""
    change = (adversarial - x).abs()
    flat = change.flatten(1)
    return {
        "linf": flat.amax(1).cpu().numpy(),
        "l2": flat.norm(dim=1).cpu().numpy(),
        "l1": flat.sum(1).cpu().numpy(),
        "l0": (change > 0).any(1).flatten(1).sum(1).float().cpu().numpy(),
    }


def check(adversarial: Tensor, distance: Floats, eps: float) -> None:
    """Raise AttackError unless ``adversarial`` is finite, inside [0, 1], and within ``eps``."""
    if not bool(torch.isfinite(adversarial).all()):
        raise AttackError("the attack returned values that are not finite")
    low, high = float(adversarial.min()), float(adversarial.max())
    if low < -SLACK or high > 1 + SLACK:
        raise AttackError(f"the attack left the box [0, 1]: values from {low:.6f} to {high:.6f}")
    if float(distance.max()) > eps + SLACK:
        raise AttackError(f"the attack left its budget: distance {distance.max():.6f} > eps {eps:.6f}")


def _clean_rows(target: Target) -> Rows:
    n = len(target.samples)
    clean = target.clean
    rows: Rows = {"adv_pred": clean.pred.copy(), "adv_prob": clean.prob.copy(), "adv_prob_true": clean.prob_true.copy()}
    return rows | {norm: np.zeros(n, dtype=np.float32) for norm in ("linf", "l2", "l1", "l0")}


def _write_rows(rows: Rows, index: Ints, values: Rows) -> None:
    for name, column in values.items():
        rows[name][index] = column


def _records(target: Target, rows: Rows) -> Records:
    clean, labels = target.clean, target.samples.labels
    success = (clean.pred == labels) & (rows["adv_pred"] != labels)
    ids = np.array(target.samples.ids)
    return Records(
        ids, labels, clean.pred, clean.prob, clean.prob_true, success=success, **rows
    )  # fmt: skip


def _join(parts: Sequence[Predictions]) -> Predictions:
    return Predictions(
        np.concatenate([p.pred for p in parts]),
        np.concatenate([p.prob for p in parts]),
        np.concatenate([p.prob_true for p in parts]),
    )
