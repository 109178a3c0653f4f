"""What worker processes gain and cost: a suite from trained models, in one, two and more, interleaved.

``python -m tests.benchmarks.workers`` prints, of the default suite, the medians of wall-clock and CPU seconds
and their ratios to one worker's. The clock says something on quiet cores alone; what workers cost in CPU is
hardly changed by other work.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Print a table of one row for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", default="fgsm_pgd")
    parser.add_argument("--only", default="*", help="units to run, as in bench run")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 8])
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    _bench("train", asked.suite)
    taken: dict[int, list[tuple[float, float]]] = {workers: [] for workers in asked.workers}
    for _ in range(asked.rounds):
        for workers, found in taken.items():
            with tempfile.TemporaryDirectory() as results:
                options = [
                    "--workers",
                    str(workers),
                    "--results",
                    results,
                    "--only",
                    asked.only,
                    "-o",
                    os.devnull,
                ]
                found.append(_bench("run", asked.suite, *options))
    print(f"\n{asked.suite} from trained models, {asked.rounds} rounds\n")
    print("| workers | wall s | × one | CPU s | overhead, % |\n| ---: | ---: | ---: | ---: | ---: |")
    alone = _medians(taken[asked.workers[0]])
    for workers, found in taken.items():
        wall, cpu = _medians(found)
        print(
            f"| {workers} | {wall:.1f} | {alone[0] / wall:.2f} | {cpu:.1f} |"
            f" {100 * (cpu / alone[1] - 1):+.1f} |"
        )


def _medians(found: list[tuple[float, float]]) -> tuple[float, float]:
    walls, cpus = zip(*found, strict=True)
    return statistics.median(walls), statistics.median(cpus)


def _bench(*arguments: str) -> tuple[float, float]:
    """Wall-clock and CPU seconds of ``bench`` with ``arguments``, all its processes included."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "bench", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=Path.cwd())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = sum(getattr(after, name) - getattr(before, name) for name in ("ru_utime", "ru_stime"))
    return time.perf_counter() - started, cpu


if __name__ == "__main__":
    main()
