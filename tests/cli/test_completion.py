"""What a shell is offered: asked as argcomplete's shell code asks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.suite.suite import shipped_suites


def offered(line: str, folder: Path) -> set[str]:
    """The completions of ``line``, with the cursor at its end, as bash quotes them."""
    answer = folder / "answer"
    asked = {
        "_ARGCOMPLETE": "1",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
    }
    environment = {**os.environ, **asked, "_ARGCOMPLETE_IFS": "\n"}
    done = subprocess.run(
        [sys.executable, "-m", "bench"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return {word.rstrip() for word in answer.read_text().splitlines()}


def test_suites_are_the_shipped_ones_and_the_files_here(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\n")
    (tmp_path / "other.txt").touch()
    assert offered("bench run ", tmp_path) == {*(suite.stem for suite in shipped_suites()), "mine.yaml"}
    assert offered("bench run fg", tmp_path) == {"fgsm_pgd"}


@pytest.mark.parametrize(
    "command", ["report", "figures", "export --to card", "reproduce", "compare", "reference update"]
)
def test_runs_are_those_of_the_results_folder(command: str, tmp_path: Path) -> None:
    for folder in ("results", "elsewhere"):
        run = tmp_path / folder / "suite" / f"20260101-of-{folder}"
        run.mkdir(parents=True)
        (run / "run.json").touch()
    assert offered(f"bench {command} 2026", tmp_path) == {"20260101-of-results"}
    assert offered(f"bench {command} --results elsewhere 2026", tmp_path) == {"20260101-of-elsewhere"}
    assert "latest" in offered(f"bench {command} la", tmp_path)


def test_units_are_those_of_the_suite_that_stands_before(tmp_path: Path) -> None:
    assert offered("bench run fgsm_pgd --only lora", tmp_path) == {r"lora-fc/\*", r"lora-fc-conv1/\*"}


def test_exporters_are_offered(tmp_path: Path) -> None:
    assert offered("bench export latest --to ", tmp_path) == {"card", "mlflow", "wandb"}
    assert offered("bench run fgsm_pgd --export w", tmp_path) == {"wandb"}


def test_commands_and_options(tmp_path: Path) -> None:
    assert offered("bench rep", tmp_path) == {"report", "reproduce"}
    assert offered("bench run fgsm_pgd --sha", tmp_path) == {"--shard"}
