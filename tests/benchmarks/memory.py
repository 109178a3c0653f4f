"""Peak memory of attacks over that of the model and samples, from 500 to 10,000 samples: it should not grow.

``python -m tests.benchmarks.memory``; each number of samples has a process of its own.
"""

import resource
import subprocess
import sys
import tempfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from adapters.classifier import Classifier
from adapters.images import ImageSet
from bench.engine.runner import make_target
from bench.ids import ModelId
from tests.builders.runs import run_header

COUNTS = (500, 2_000, 10_000)
SIDE = 32


def main() -> None:
    """Print the peak for each number of samples, and the largest as a ratio to the smallest."""
    print(f"\nPeak memory over the model and its samples: FGSM, 2 eps, ResNet18, {SIDE} px\n")
    print("| samples | MB |\n| ---: | ---: |")
    peaks = []
    for count in COUNTS:
        done = subprocess.run(
            [sys.executable, "-m", __spec__.name, str(count)], check=True, capture_output=True, text=True
        )
        peaks.append(float(done.stdout))
        print(f"| {count:,} | {peaks[-1]:.0f} |", flush=True)
    print(f"\n{COUNTS[-1]:,} samples take {peaks[-1] / peaks[0]:.2f} times what {COUNTS[0]} take")


def peak(count: int) -> float:
    """Megabytes beyond those held once the model and ``count`` samples are loaded and all code imported."""
    from bench.engine.plan import Cell, Unit
    from bench.engine.prepare import prepare
    from bench.executors.parts import run_in_parts
    from bench.store import CellEntry, open_run
    from tests.benchmarks.models import make_classifier
    from tests.builders.attacking import spec

    classifier = make_classifier(SIDE, lora=False, device="cpu")
    samples = _samples(count, classifier)
    cells = tuple(Cell(Fraction(n, 255), f"{n:032d}") for n in (2, 8))
    unit = Unit(ModelId("m", 0), spec(attack="fgsm"), "foolbox", cells)
    entries = tuple(CellEntry("m", 0, "fgsm", c.eps, "linf", "foolbox", "exact", c.key) for c in cells)
    header = run_header(entries, samples=count, suite="memory", headline_eps="2/255", origin={})
    with tempfile.TemporaryDirectory() as folder:
        before = _resident()
        result = run_in_parts(
            unit, prepare(classifier, samples, None, "fp32"), open_run(Path(folder), header, fresh=True)
        )
        assert len(result.records[0]) == count
        return _peak() - before


def _samples(count: int, classifier: Classifier) -> ImageSet:
    """Noise, labelled as ``classifier`` sees it, so that all of it is attacked."""
    images = np.random.default_rng(0).integers(0, 256, (count, 3, SIDE, SIDE), dtype=np.uint8)
    ids, classes = tuple(f"noise/{i}" for i in range(count)), tuple("0123456789")
    unlabelled = ImageSet(images, np.zeros(count, dtype=np.int64), ids, classes)
    return replace(unlabelled, labels=make_target(classifier, unlabelled, 64).clean.pred)


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * resource.getpagesize() / 1e6


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(peak(int(sys.argv[1])))
    else:
        main()
