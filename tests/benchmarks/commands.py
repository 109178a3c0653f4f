"""What commands cost beside attacking: ``bench --help``, and ``bench compare`` of a folder with many runs.

``python -m tests.benchmarks.commands``
"""

import os
import resource
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np

from adapters.cache.card import Card
from bench.api.pipeline import entry_of
from bench.comparison.snapshot import snapshot_of, to_text
from bench.engine.plan import content_key, make_units
from bench.ids import ModelId
from bench.store import SCHEMA_VERSION, ModelEntry, RunHeader, StoredRun, open_run, write_reference
from bench.store.evidence import Evidence
from bench.store.records import Floats, Records
from bench.suite.suite import find_suite, load_suite
from tests.builders.scene import PROVENANCE

RUNS = (10, 50)
SAMPLES = 150
CHECKS = (
    "deterministic",
    "logits",
    "gradients",
    "wrappers",
    "unconstrained",
    "more-steps",
    "rounding",
    "transfer-failure",
)


def main() -> None:
    """Print the CPU time of each command, and how the comparison grows with the number of runs."""
    print("\nCPU time of commands\n\n| command | s |\n| --- | ---: |")
    print(f"| python -c 'import torch' | {seconds('-c', 'import torch'):.2f} |")
    print(f"| bench --help | {seconds('-m', 'bench', '--help'):.2f} |")
    taken = []
    for count in RUNS:
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder), count)
            taken.append(seconds("-m", "bench", "compare", folder))
        print(f"| bench compare, {count} runs of the default suite | {taken[-1]:.2f} |", flush=True)
    print(
        f"\n{RUNS[1]} runs take {taken[1] / taken[0]:.2f} times what {RUNS[0]} take; the limit of {RUNS[1]}"
        " is 3 s"
    )


def fill(folder: Path, count: int) -> None:
    """``count`` runs of the default suite, each of other models and outcomes; the first is the reference."""
    runs = [store(folder, number) for number in range(count)]
    snapshot = snapshot_of(StoredRun(runs[0]))
    write_reference(folder, snapshot.header.suite_name, to_text(snapshot))


def store(folder: Path, number: int) -> Path:
    """The default suite on models that break at different distances, with evidence that nothing is wrong."""
    header, rng = _header(number), np.random.default_rng(number)
    run = open_run(folder, header, fresh=True)
    distances = {m.model: rng.uniform(0, 0.1, SAMPLES).astype(np.float32) for m in header.models}
    for cell in header.cells:
        run.write_cell(cell.key, _records(distances[cell.model], float(Fraction(cell.eps))), seconds=1.0)
    for model in header.models:
        found = [Evidence(check, model.model, 0, None, None, 0.0, 16) for check in CHECKS]
        run.write_evidence(model.sha256, found, seconds=1.0)
    run.save("complete")
    return run.path


def _records(distance: Floats, eps: float) -> Records:
    label = np.arange(SAMPLES) % 5
    clean = np.where(distance < 0.005, (label + 1) % 5, label)
    broken = (clean == label) & (distance < eps)
    adv = np.where(broken, (label + 1) % 5, clean)
    moved = np.where(clean == label, np.float32(eps), np.float32(0))
    ids = np.array([f"digits/{i:04d}" for i in range(SAMPLES)])
    return Records(
        ids, label, clean, distance, distance, adv, distance, distance, broken, moved, moved, moved, moved
    )


def _header(number: int) -> RunHeader:
    suite = load_suite(find_suite("fgsm_pgd"))
    names = [model.name for model in suite.models]
    cards = {
        ModelId(name, 0): Card(content_key({"model": name, "run": number}), "lora", 4136, 11_180_000, ())
        for name in names
    }
    models = tuple(
        ModelEntry(m.name, 0, c.method, c.trainable_parameters, c.parameters, c.sha256)
        for m, c in cards.items()
    )
    return RunHeader(
        schema_version=SCHEMA_VERSION,
        run_id=f"run-{number:04d}",
        fingerprint=content_key({"run": number}),
        status="running",
        suite_name=suite.name,
        headline_eps=suite.headline,
        suite=suite.model_dump(mode="json"),
        data_hash="data",
        samples=SAMPLES,
        provenance=PROVENANCE,
        models=models,
        cells=tuple(
            entry_of(unit, i) for unit in make_units(suite, cards, "data") for i in range(len(unit.cells))
        ),
    )


def seconds(*arguments: str) -> float:
    """CPU time of Python with ``arguments``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "80"},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
