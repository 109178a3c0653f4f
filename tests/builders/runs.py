"""Headers of runs and their cells, made by hand."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from bench.store import CellEntry, ModelEntry, RunHeader

ORIGIN = {"commit": "", "dirty": False, "started": "", "packages": {}}


def cell_entry(
    model: str, seed: int, attack: str, eps: str | Fraction, *rest: Any, **facts: Any
) -> CellEntry:
    """A cell of which ``eps`` may be text."""
    return CellEntry(model, seed, attack, Fraction(eps), *rest, **facts)


def run_header(
    cells: Iterable[CellEntry],
    models: Iterable[ModelEntry] = (),
    samples: int = 64,
    *,
    suite: str = "suite",
    headline_eps: str = "8/255",
    origin: dict[str, Any] | None = None,
    **facts: Any,
) -> RunHeader:
    """The header of a run that was just begun; ``facts`` are any of its other fields."""
    fields: dict[str, Any] = {
        "schema_version": 1, "run_id": "run-ffffffff", "fingerprint": "f" * 32, "status": "running",
        "suite": {}, "data_hash": "data", **facts,
    }  # fmt: skip
    provenance = ORIGIN if origin is None else origin
    return RunHeader(
        suite_name=suite, headline_eps=Fraction(headline_eps), samples=samples, provenance=provenance,
        models=tuple(models), cells=tuple(cells), **fields,
    )  # fmt: skip
