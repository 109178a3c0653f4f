"""What scoring a large stored run costs: ``python -m tests.benchmarks.scoring`` prints seconds and the
peak of memory."""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.store import CellEntry, ModelEntry, OpenRun, open_run
from bench.store.records import Records
from tests.builders.runs import cell_entry, run_header

MODELS, EPS, LIBRARIES = 10, 5, ("foolbox", "art")
SCORING = """
import json, resource, sys, time
from pathlib import Path
started, used = time.perf_counter(), time.process_time()
from bench.scoring.score import score
from bench.store import StoredRun
card = score(StoredRun(Path(sys.argv[1])))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
seconds = {"wall_s": time.perf_counter() - started, "cpu_s": time.process_time() - used}
counts = {"cells": len(card.cells), "comparisons": len(card.comparisons)}
print(json.dumps({**counts, **seconds, "peak_gib": peak}))
"""
"""In a process of its own, imports included; ru_maxrss is in KiB on Linux."""


def store(folder: Path, cells: int, samples: int) -> OpenRun:
    """A run of ``cells`` cells of ``samples`` samples with random outcomes."""
    entries = list(_entries(cells))
    models = tuple(ModelEntry(f"model{m}", 0, "lora", 1, 10, str(m)) for m in range(MODELS))
    origin = {"commit": "", "dirty": False, "started": ""}
    header = run_header(
        entries, models, samples, run_id="large", suite="large", headline_eps="3/255", origin=origin
    )
    run = open_run(folder, header, fresh=True)
    rng = np.random.default_rng(0)
    for entry in entries:
        run.write_cell(entry.key, _records(rng, samples, float(entry.eps)), seconds=1.0)
    run.save("complete")
    return run


def _entries(cells: int) -> Iterator[CellEntry]:
    for i in range(cells):
        rest, library = divmod(i, len(LIBRARIES))
        rest, eps = divmod(rest, EPS)
        attack, model = divmod(rest, MODELS)
        yield cell_entry(
            f"model{model}", 0, f"pgd-{attack}", f"{eps + 1}/255", "linf", LIBRARIES[library], "exact",
            f"cell{i:04d}", kind="pgd", access="white-box", budget="fixed",
        )  # fmt: skip


def _records(rng: np.random.Generator, n: int, eps: float) -> Records:
    label = np.arange(n) % 10
    clean, broken = np.where(rng.random(n) < 0.9, label, (label + 1) % 10), rng.random(n) < 0.5
    success = broken & (clean == label)
    adv = np.where(success, (label + 1) % 10, clean)
    prob, adv_prob, moved = (rng.random(n, dtype=np.float32) for _ in range(3))
    adv_prob = np.where(clean == label, adv_prob, prob)
    moved = np.where(clean == label, np.float32(eps) * moved, np.float32(0))
    ids = np.array([f"large/{i:05d}" for i in range(n)])
    return Records(
        ids, label, clean, prob, prob, adv, adv_prob, adv_prob, success, moved, moved, moved, moved
    )


def main() -> None:
    """Store a run, score it, and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = store(Path(folder), options.cells, options.samples).path
        done = subprocess.run(
            [sys.executable, "-c", SCORING, str(path)], capture_output=True, text=True, check=True
        )
    found = json.loads(done.stdout)
    print(
        f"{found['cells']} cells x {options.samples} samples, {found['comparisons']} comparisons:"
        f" {found['wall_s']:.1f} s",
        end="",
    )
    print(
        f" ({found['cpu_s']:.1f} s of processor time), peak {found['peak_gib']:.2f} GiB; the limits are 30 s"
        " and 2 GiB"
    )


if __name__ == "__main__":
    main()
