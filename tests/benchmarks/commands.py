"""What commands cost beside attacking: ``bench --help``, and ``bench compare`` of a folder with many runs.

``python -m tests.benchmarks.commands``
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.scene import store_scene

RUNS = (10, 50)


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
        print(f"| bench compare, {count} runs | {taken[-1]:.2f} |", flush=True)
    print(f"\n{RUNS[1]} runs take {taken[1] / taken[0]:.2f} times what {RUNS[0]} take")


def fill(folder: Path, count: int) -> None:
    """``count`` runs of the closed-form models: the same one under other names."""
    run = store_scene(folder)
    for i in range(1, count):
        shutil.copytree(run, run.with_name(f"{i:04d}-{run.name}"))


def seconds(*arguments: str) -> float:
    """CPU time of Python with ``arguments``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env={**os.environ, "COLUMNS": "80"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
