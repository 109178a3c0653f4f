"""Runs the README's `console` blocks as written, but for the two that make an environment; fails if a command fails.

Each block starts with `$ command`; the lines below it are what it printed. The commands run in one empty folder that
holds a copy of suites/, with the `bench` of the environment that runs this.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
SETS_UP = "python3 -m venv"


def commands(markdown: str) -> list[str]:
    """The commands of all console blocks, in order."""
    blocks = re.findall(r"```console\n(.*?)```", markdown, flags=re.DOTALL)
    lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [line for line in lines if not line.startswith(SETS_UP)]


def main() -> int:
    """Run them all; returns how many failed."""
    found = commands((ROOT / "README.md").read_text(encoding="utf-8"))
    if not found:
        sys.exit("README.md has no console block to run")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "suites", Path(folder) / "suites")
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        for command in found:
            done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True)
            sys.stdout.write(f"{'ok' if done.returncode == 0 else 'FAILED'}: {command}\n")
            if done.returncode:
                failed += 1
                sys.stdout.write(done.stdout + done.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main())
