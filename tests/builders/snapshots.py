"""Snapshots made by hand, for comparisons whose every number is known."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from bench.comparison.snapshot import Outcomes, Snapshot
from bench.store import SCHEMA_VERSION, CellEntry, ModelEntry, RunHeader
from bench.store.records import Bools
from tests.builders.runs import cell_entry

PROVENANCE: dict[str, Any] = {
    "bench_version": "0.1.0", "commit": "a" * 40, "dirty": False, "code": "c" * 64, "python": "3.11.7",
    "platform": "Linux", "processor": "P",
    "device": "cpu", "packages": {"torch": "2.6.0", "foolbox": "3.3.4"},
    "started": "2026-01-01T00:00:00+00:00",
}  # fmt: skip


def flags(count: int, of: int) -> Bools:
    """The first ``count`` of ``of`` set."""
    return np.arange(of) < count


def make_snapshot(
    title: str,
    broken: Mapping[str, Bools],
    *,
    correct: Bools | None = None,
    weights: str = "w",
    gate: Mapping[str, Any] | None = None,
    errors: Sequence[str] = (),
    provenance: Mapping[str, Any] | None = None,
) -> Snapshot:
    """One model's run: a cell per entry of ``broken`` ("attack eps" -> N flags); ``errors`` have none."""
    n = len(next(iter(broken.values()))) if broken else 1
    correct = np.ones(n, dtype=bool) if correct is None else correct
    cells = tuple(_cell(name) for name in broken) + tuple(
        _cell(name, "error", "RuntimeError: <planted>") for name in errors
    )
    header = RunHeader(
        schema_version=SCHEMA_VERSION,
        run_id=title,
        fingerprint="f",
        status="complete",
        suite_name="hand|made",
        headline_eps=Fraction(8, 255),
        suite={"name": "hand|made", "seed": 0, "precision": "fp32", "gate": dict(gate or {})},
        data_hash="d",
        samples=n,
        provenance={**PROVENANCE, **(provenance or {})},
        models=(ModelEntry("lora", 0, "lora", 1, 12, weights * 64),),
        cells=cells,
    )
    outcomes = {
        c.key: Outcomes(np.ones(n, dtype=bool), correct, broken[c.key] & correct)
        for c in cells
        if c.status == "ok"
    }
    ids = tuple(f"sample/{i:03d}" for i in range(n))
    return Snapshot(title, header, ids, np.zeros(n, dtype=np.int64), outcomes)


def _cell(name: str, status: str = "ok", error: str | None = None) -> CellEntry:
    attack, eps = name.split()
    return cell_entry("lora", 0, attack, eps, "linf", "foolbox", "exact", name, status, error)
