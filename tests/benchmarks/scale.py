"""How planning and storing grow with the number of units: what passes before the first, and what each stored cell takes.

``python -m tests.benchmarks.scale``
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from adapters.card import Card
from bench.pipeline import entry_of
from bench.plan import Unit, content_key, make_units
from bench.records import Records
from bench.store import SCHEMA_VERSION, ModelEntry, OpenRun, RunHeader, open_run
from bench.suite import Suite
from tests.scene import PROVENANCE

MODELS, EPS, SAMPLES = 5, 10, 150


def main() -> None:
    """Print both, for as many units as asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=1000)
    units = parser.parse_args().units
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        planned, run = opened(Path(folder), units)
        first = time.perf_counter() - started
        print(
            f"{len(planned)} units, {len(run.entries)} cells: {first:.2f} s from planning to the first unit; the limit is 5 s"
        )
        seconds = stored(run, planned)
    tenth = len(seconds) // 10
    early, late = (1000 * sum(part) / len(part) / EPS for part in (seconds[:tenth], seconds[-tenth:]))
    print(f"a stored cell takes {early:.2f} ms in the first tenth and {late:.2f} ms in the last, {sum(seconds):.0f} s in all")


def opened(folder: Path, count: int) -> tuple[list[Unit], OpenRun]:
    """A run of ``count`` units through both libraries."""
    suite = Suite.model_validate(
        {
            "name": "scale",
            "backbone": {},
            "models": [{"name": f"model{i}"} for i in range(MODELS)],
            "data": {"source": "digits"},
            "eps": [f"{i + 1}/255" for i in range(EPS)],
            "attacks": [{"attack": "pgd", "name": f"pgd{i}", "steps": i + 1} for i in range(count // (2 * MODELS))],
        }
    )
    cards = {(m.name, 0): Card(content_key({"model": m.name}), "lora", 1, 2, ()) for m in suite.models}
    units = make_units(suite, cards, "data")
    header = RunHeader(
        schema_version=SCHEMA_VERSION, run_id="run-scale000", fingerprint="f" * 32, status="running", suite_name=suite.name,
        headline_eps=str(suite.headline), suite=suite.model_dump(mode="json"), data_hash="data", samples=SAMPLES,
        provenance=PROVENANCE, models=tuple(ModelEntry(n, s, "lora", 1, 2, c.sha256) for (n, s), c in cards.items()),
        cells=tuple(entry_of(unit, i) for unit in units for i in range(len(unit.cells))),
    )  # fmt: skip
    return units, open_run(folder, header, fresh=False)


def stored(run: OpenRun, units: list[Unit]) -> list[float]:
    """Seconds that storing each of ``units`` takes."""
    label, prob, still = np.arange(SAMPLES) % 10, np.full(SAMPLES, 0.75, np.float32), np.zeros(SAMPLES, np.float32)
    ids = np.array([f"digits/{i:04d}" for i in range(SAMPLES)])
    nothing = np.zeros(SAMPLES, dtype=bool)
    held = Records(ids, label, label, prob, prob, label, prob, prob, nothing, still, still, still, still)
    seconds = []
    for unit in units:
        started = time.perf_counter()
        run.refresh()
        for key in unit.keys:
            run.write_cell(key, held, seconds=0.1, forwards=10, backwards=10)
        run.save("running")
        seconds.append(time.perf_counter() - started)
    run.save("complete")
    return seconds


if __name__ == "__main__":
    main()
