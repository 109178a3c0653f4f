"""Runs the README and every page of docs/ as a reader would; fails if a command or a Python block fails.

All pages share one empty folder that holds a copy of suites/. In the order in which they stand there, a
`console` block is run line by line (`$ command`; the other lines are what it printed), a `python` block is
run as a script, and a `yaml` block with a title is written to the file of that name. `sh` and untitled `yaml`
blocks need what is not here (a cluster, a data set, a CI service) and are not run. `python -m tests.docs_run
[PAGE...]`.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
SETS_UP = "python3 -m venv"
BLOCK = re.compile(
    r"^```(console|python|yaml)(?: title=\"([^\"]+)\")?\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Step:
    """One thing to do: a shell command, or a ``file`` written with ``text`` and run if it is Python."""

    text: str
    file: str = ""

    @property
    def shown(self) -> str:
        """What is printed of it: one line."""
        return self.file or self.text


def steps(markdown: str) -> Iterator[Step]:
    """What a reader of ``markdown`` does, in order; but for the commands that make an environment."""
    for number, (kind, title, body) in enumerate(BLOCK.findall(markdown), start=1):
        if kind == "console":
            lines = [line[2:] for line in body.splitlines() if line.startswith("$ ")]
            yield from (Step(line) for line in lines if not line.startswith(SETS_UP))
        elif kind == "python":
            yield Step(body, title or f"block_{number}.py")
        elif title:
            yield Step(body, title)


def carry_out(step: Step, folder: Path) -> subprocess.CompletedProcess[str] | None:
    """Do ``step`` in ``folder``; None if it was only a file to write."""
    command = ["bash", "-c", step.text]
    if step.file:
        (folder / step.file).write_text(step.text, encoding="utf-8")
        if not step.file.endswith(".py"):
            return None
        command = [sys.executable, step.file]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "MPLBACKEND": "agg"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def run_page(page: Path, folder: Path) -> int:
    """Do all that ``page`` says in ``folder``; returns how much of it failed."""
    failed = 0
    for step in steps(page.read_text(encoding="utf-8")):
        done = carry_out(step, folder)
        wrong = done is not None and done.returncode != 0
        sys.stdout.write(f"{'FAILED' if wrong else 'ok'}: {page.relative_to(ROOT)}: {step.shown}\n")
        if done is not None and wrong:
            failed += 1
            sys.stdout.write(done.stdout + done.stderr)
    return failed


def main() -> int:
    """Run the pages named on the command line, or all; returns how much failed."""
    named = [Path(name).resolve() for name in sys.argv[1:]]
    pages = named or [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "suites", Path(folder) / "suites")
        return sum(run_page(page, Path(folder)) for page in pages)


if __name__ == "__main__":
    sys.exit(main())
