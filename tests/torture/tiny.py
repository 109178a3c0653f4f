"""A real suite that takes seconds: two small trainings, two attacks, both libraries, three batches a unit."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

SUITE = textwrap.dedent("""\
    name: tiny
    backbone:
      pretrain:
        data: {source: digits, classes: [0, 2, 4], size: 8}
        training: {epochs: 1, augmentation: none}
    data: {source: digits, classes: [1, 3, 5], size: 8, samples: 18}
    training: {epochs: 1, augmentation: none}
    models:
      - {name: full}
      - {name: lora, adaptation: {method: lora, r: 2, targets: [fc]}}
    eps: [2/255, 16/255]
    batch_size: 6
    attacks:
      - attack: fgsm
      - {attack: pgd, steps: 2}
    """)
CELLS = 2 * 2 * 2 * 2
UNITS = 2 * 2 * 2


class Place:
    """A folder with a suite, results and a cache, and ``bench`` as users run it in there."""

    def __init__(self, folder: Path, suite: str = SUITE, cache: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.suite = folder / "tiny.yaml"
        self.suite.write_text(suite)
        self.results = folder / "results"
        self.cache = cache or folder / "cache"

    def start(
        self, *options: str, suite: Path | None = None, code: str | None = None, **popen: Any
    ) -> "subprocess.Popen[str]":
        """``bench run`` of the suite as a process; ``code`` is Python that runs in it before."""
        arguments = [
            "run",
            str(suite or self.suite),
            "--results",
            str(self.results),
            "--device",
            "cpu",
            *options,
        ]
        command = (
            f"import sys\n{code or ''}\nfrom bench.cli.commands import main\nsys.exit(main({arguments!r}))"
        )
        environment = {**os.environ, "BENCH_CACHE": str(self.cache), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
        return subprocess.Popen([sys.executable, "-c", command], **{**pipes, **popen})

    def run(self, *options: str, **how: Any) -> "subprocess.CompletedProcess[str]":
        """``bench run`` to its end."""
        process = self.start(*options, **how)
        out, err = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    @property
    def runs(self) -> list[Path]:
        """The folders of all runs."""
        return sorted(file.parent for file in self.results.glob("*/*/run.json"))

    @property
    def header(self) -> dict[str, Any]:
        """The one run's run.json."""
        (run,) = self.runs
        header: dict[str, Any] = json.loads((run / "run.json").read_text())
        return header

    def digests(self) -> dict[str, str]:
        """sha256 of each cell's file, over all runs."""
        files = self.results.glob("*/*/cells/*.parquet")
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    def leftovers(self) -> list[Path]:
        """Temporary files and parts, anywhere."""
        places = [self.results, self.cache]
        return [p for place in places for pattern in (".new-*", "parts/*") for p in place.rglob(pattern)]


def kill(process: "subprocess.Popen[str]", number: int = signal.SIGKILL) -> tuple[str, str]:
    """Send ``number`` to ``process`` and return what it printed."""
    process.send_signal(number)
    return process.communicate()
