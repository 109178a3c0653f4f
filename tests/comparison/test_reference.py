"""References, the names of runs, and the gate inside pytest, all as users call them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.cli.commands import main
from bench.comparison.compare import compare
from bench.comparison.runs import RunSummary, summaries
from bench.comparison.snapshot import from_file
from bench.scoring.model_ranking import Place
from bench.scoring.score import score
from bench.store import StoredRun
from bench.suite.suite import load_suite
from tests.builders.scene import PROVENANCE, ROBUST, Scene, store_scene
from tests.comparison.test_gate import rewrite

REPOSITORY = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with an older run, its reference, and a newer run of a more robust model."""
    results = tmp_path_factory.mktemp("two") / "results"
    store_scene(results)
    assert main(["reference", "update", "latest", "--results", str(results)]) == 0
    later = {**PROVENANCE, "started": "2026-01-02T00:00:00+00:00"}
    store_scene(results, Scene(models={"base": Scene().models["base"], "lora": ROBUST}, provenance=later))
    return results


@pytest.fixture
def results(two_runs: Path, tmp_path: Path) -> Path:
    """A private copy of ``two_runs``."""
    return shutil.copytree(two_runs, tmp_path / "results")


def word(capsys: pytest.CaptureFixture[str], results: Path, *names: str) -> str:
    capsys.readouterr()
    main(["compare", *names, "--results", str(results), "--format", "json"])
    return str(json.loads(capsys.readouterr().out)["verdict"])


def test_names_of_runs(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    older, newer = sorted(results.glob("scene/[!.]*"))
    assert word(capsys, results, "reference", "latest") == "changed"
    assert word(capsys, results, "reference", older.name) == "no change shown"
    assert word(capsys, results, str(newer), "latest") == "no change shown"
    assert word(capsys, results, str(results / "reference" / "scene.json"), older.name) == "no change shown"
    assert word(capsys, results, newer.name, "reference") == "changed"


def test_run_that_was_taken_up_again_is_the_latest(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    older = min(results.glob("scene/[!.]*"))
    rewrite(older / "run.json", provenance={**PROVENANCE, "started": "2026-01-03T00:00:00+00:00"})
    assert word(capsys, results, "reference", "latest") == "no change shown"


def test_git_revision_of_the_reference(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *arguments], cwd=results.parent, check=True, capture_output=True)

    git("init", "-q")
    git("add", "results/reference")
    git("commit", "-qm", "first")
    assert main(["reference", "update", "latest", "--results", str(results)]) == 0
    assert word(capsys, results, "HEAD", "latest") == "changed"
    assert word(capsys, results, "reference", "latest") == "no change shown"
    assert word(capsys, results, "HEAD", "reference") == "changed"
    assert main(["compare", "nonsense", "latest", "--results", str(results)]) == 2
    assert "nonsense: does not name a run" in capsys.readouterr().err


def test_update_shows_the_difference_first(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (results / "reference" / "scene.json").read_text()
    assert main(["reference", "update", "latest", "--results", str(results)]) == 0
    said = capsys.readouterr()
    assert "CHANGED" in said.out
    assert "model drift: the weights of lora/0 differ" in " ".join(said.out.split())
    assert "written:" in said.err
    assert (results / "reference" / "scene.json").read_text() != before


def test_reference_names_no_place_on_a_machine(results: Path) -> None:
    data = json.loads((results / "reference" / "scene.json").read_text())
    assert "command" not in data["provenance"]
    assert data["provenance"]["packages"] == PROVENANCE["packages"]


def test_update_refuses_error_cells_even_when_forced(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = store_scene(results, failing="pgd")
    before = (results / "reference" / "scene.json").read_text()
    assert main(["reference", "update", str(path), "--force", "--results", str(results)]) == 2
    assert "12 cells have no numbers" in capsys.readouterr().err
    assert (results / "reference" / "scene.json").read_text() == before


def test_update_writes_nowhere_else(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = max(results.glob("scene/[!.]*"))
    rewrite(run / "run.json", suite_name="../../elsewhere")
    assert main(["reference", "update", str(run), "--results", str(results)]) == 4
    assert "is not a file name" in capsys.readouterr().err
    assert not list(results.parent.glob("elsewhere*"))


def test_update_refuses_a_dirty_tree_unless_forced(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(store_scene(results, Scene(provenance={**PROVENANCE, "dirty": True})))
    assert main(["reference", "update", path, "--results", str(results)]) == 2
    assert "uncommitted changes" in capsys.readouterr().err
    assert main(["reference", "update", path, "--force", "--results", str(results)]) == 0


def test_gate_without_a_reference_says_how_to_make_one(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(results / "reference")
    assert main(["compare", str(results), "--gate", "--results", str(results)]) == 4
    assert "`bench reference update RUN` makes one" in capsys.readouterr().err


def test_listing_sets_each_run_against_its_reference(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(results)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("complete") == 2
    assert "against the reference: fail, 4 of 26 rows changed" in out
    shutil.rmtree(results / "reference")
    assert main(["compare", str(results)]) == 0
    assert "compared with nothing: its suite has no reference" in " ".join(capsys.readouterr().out.split())


def test_listing_as_json(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(results), "--format", "json"]) == 0
    newer, older = json.loads(capsys.readouterr().out)["runs"]
    assert (older["status"], older["reference"]) == (
        "complete",
        {"verdict": "pass", "rows": 26, "changed": 0},
    )
    assert (newer["reference"]["verdict"], newer["started"]) == ("fail", "2026-01-02T00:00:00+00:00")
    assert {(m["model"], m["accuracy"]["value"]) for m in newer["models"]} == {("base", 1.0), ("lora", 1.0)}
    assert main(["compare", str(results), "--format", "junit"]) == 2
    assert "--format 'junit' shows no list of runs; give one of table, json" in capsys.readouterr().err


def truncate(file: Path) -> None:
    file.write_text(file.read_text()[:100])


BREAK: dict[str, Callable[[Path], Any]] = {
    "truncated": truncate, "newer": lambda file: rewrite(file, schema_version=99), "deleted": Path.unlink
}  # fmt: skip
ASKING = (
    ["compare", "reference", "latest"],
    ["compare", "reference", "latest", "--gate"],
    ["report", "latest"],
)


@pytest.mark.parametrize("damage", BREAK.values(), ids=BREAK.keys())
def test_a_broken_run_is_a_row_of_its_own(
    damage: Callable[[Path], Any], results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older, newer = sorted(results.glob("scene/[!.]*"))
    damage(older / "run.json")
    assert main(["compare", str(results)]) == 4
    out = " ".join(capsys.readouterr().out.split())
    assert (out.count("complete"), out.count("unusable")) == (1, 1)
    assert main(["compare", str(results), "--format", "json"]) == 4
    assert [run["status"] for run in json.loads(capsys.readouterr().out)["runs"]] == ["complete", "unusable"]
    assert word(capsys, results, "reference", "latest") == "changed"
    assert word(capsys, results, "reference", newer.name) == "changed"


@pytest.mark.parametrize("asked", ASKING)
@pytest.mark.parametrize("damage", BREAK.values(), ids=BREAK.keys())
def test_latest_is_never_the_run_before_a_broken_one(
    damage: Callable[[Path], Any],
    asked: list[str],
    results: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    newer = max(results.glob("scene/[!.]*"))
    damage(newer / "run.json")
    assert main([*asked, "--results", str(results), "-o", str(tmp_path / "out")]) == 4
    assert f"the latest run is unusable: {newer / 'run.json'}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", BREAK.values(), ids=BREAK.keys())
def test_pytest_fails_at_a_broken_run(damage: Callable[[Path], Any], results: Path) -> None:
    damage(max(results.glob("scene/[!.]*")) / "run.json")
    done = in_pytest(results)
    assert done.returncode == 1, done.stdout
    assert "the latest run is unusable" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "passed" not in done.stdout


def test_listing_shows_what_the_scorecard_says(results: Path) -> None:
    for run in summaries(results):
        assert isinstance(run, RunSummary)
        card = score(StoredRun(run.path))
        assert run.model_ranking.places == tuple(
            Place(**{f.name: getattr(m, f.name) for f in fields(Place)}) for m in card.models
        )
        assert run.model_ranking.graded == tuple(c.trust.grade for c in card.cells if c.trust)


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(file.read_bytes()[:-1])])
def test_listing_hides_no_lost_cell(
    damage: Callable[[Path], object], results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(results)]) == 0  # whatever reading leaves behind would be there by now
    damage(next(results.glob("scene/*/cells/*.parquet")))
    capsys.readouterr()
    assert main(["compare", str(results)]) == 4
    out = " ".join(capsys.readouterr().out.split())
    assert ("trust of 23 cells" in out, out.count("trust of 24 cells")) == (True, 1)


def test_printed_verdict_is_the_exit_code(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(results), "--gate", "--results", str(results)]) == 3
    assert "gate: FAIL" in capsys.readouterr().out
    assert (
        main(
            [
                "compare",
                "reference",
                min(results.glob("scene/[!.]*")).name,
                "--gate",
                "--results",
                str(results),
            ]
        )
        == 0
    )
    assert "gate: PASS" in capsys.readouterr().out


def test_github_gets_a_summary_and_annotations(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    out = tmp_path / "gate.xml"
    arguments = [
        "compare",
        str(results),
        "--gate",
        "--results",
        str(results),
        "--format",
        "junit",
        "-o",
        str(out),
    ]
    assert main(arguments) == 3
    assert "gate: FAIL" in (tmp_path / "summary.md").read_text()
    assert capsys.readouterr().err.startswith("::error title=scene::gate: FAIL")
    assert out.read_text().startswith("<?xml")


def test_unwritable_summary_leaves_the_verdict(
    results: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(results))
    assert main(["compare", str(results), "--gate", "--results", str(results)]) == 3
    assert "gate: FAIL" in capsys.readouterr().out
    assert "cannot be written: Is a directory; the verdict stands" in caplog.text


def test_others_may_read_a_run_and_a_reference(results: Path) -> None:
    before = os.umask(0o022)
    try:
        path = store_scene(results)
        assert main(["reference", "update", str(path), "--results", str(results)]) == 0
    finally:
        os.umask(before)
    files = [path / "run.json", results / "reference" / "scene.json", next(path.glob("cells/*"))]
    assert [file.stat().st_mode & 0o777 for file in files] == [0o644] * 3


def in_pytest(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "bench.pytest_plugin",
        "-q",
        "-rf",
        "-p",
        "no:cacheprovider",
        *more,
    ]
    return subprocess.run(
        [*command, "--rootdir", str(folder), "-c", "/dev/null", str(folder)],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_pytest_gates_the_newest_run(results: Path) -> None:
    done = in_pytest(results)
    assert done.returncode == 1
    assert "lora/0/pgd/art/32/255" in done.stdout
    assert " 22 passed" in done.stdout
    assert "model drift" in done.stdout
    shutil.rmtree(max(results.glob("scene/[!.]*")))
    done = in_pytest(results)
    assert (done.returncode, "26 passed" in done.stdout) == (0, True)


def test_pytest_does_not_pass_without_a_reference(results: Path) -> None:
    shutil.rmtree(results / "reference")
    done = in_pytest(results)
    assert done.returncode == 1
    assert "has no reference" in done.stdout


def test_plugin_imports_nothing_of_the_project_in_an_ordinary_session(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"somebody": "else"}')
    (tmp_path / "test_it.py").write_text(
        "import sys\ndef test_it():\n    loaded = {m.split('.')[0] for m in sys.modules}\n"
        "    assert not loaded & {'torch', 'numpy', 'pydantic', 'rich'}\n"
    )
    done = in_pytest(tmp_path)
    assert "1 passed" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("inputs", "asked"),
    [
        ({}, []),
        ({"weights-of": "reference"}, ["--weights-of", "reference"]),
        ({"data-root": "my data", "cache": "c"}, ["--data-root", "my data"]),
        ({"weights-of": "r.json", "data-root": "d"}, ["--weights-of", "r.json", "--data-root", "d"]),
    ],
)
def test_action_s_run_step_gives_its_inputs_to_the_run(
    inputs: dict[str, str], asked: list[str], tmp_path: Path
) -> None:
    action = yaml.safe_load((REPOSITORY / ".github" / "actions" / "gate" / "action.yml").read_text())
    values = {name: str(said.get("default", "mine.yaml")) for name, said in action["inputs"].items()} | inputs
    (tmp_path / "bench").write_text('#!/bin/sh\nprintf "%s\\n" "$BENCH_CACHE" "$@"\nexit ${CODE:-4}\n')
    (tmp_path / "bench").chmod(0o755)
    (step,) = (step for step in action["runs"]["steps"] if step["name"] == "Run")
    given = {name: values[text.split("inputs.")[1].removesuffix(" }}")] for name, text in step["env"].items()}
    environment = {**os.environ, **given, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["bash", "-e", "-o", "pipefail", "-c", step["run"]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    expected = [values["cache"], "run", "mine.yaml", "--results", "results", *asked, "--fresh"]
    assert done.stdout.splitlines() == expected
    for code in (1, 2, 130):
        failed = subprocess.run(
            command, env={**environment, "CODE": str(code)}, capture_output=True, check=False
        )
        assert failed.returncode == 1, "no gate is asked after a run that did not end"


def test_action_s_gate_step_does_what_it_says(results: Path, tmp_path: Path) -> None:
    action = yaml.safe_load((REPOSITORY / ".github" / "actions" / "gate" / "action.yml").read_text())
    step = action["runs"]["steps"][-1]
    (tmp_path / "bench").write_text(
        f'#!/bin/sh\ncd "{REPOSITORY}" && exec "{sys.executable}" -m bench "$@"\n'
    )
    (tmp_path / "bench").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "RESULTS": str(results),
        "JUNIT": str(tmp_path / "out.xml"),
        "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    }
    done = subprocess.run(
        ["bash", "-e", "-c", step["run"]], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
    assert "gate: FAIL" in done.stdout
    assert (tmp_path / "out.xml").read_text().count("<failure") == 4
    assert (tmp_path / "summary.md").read_text().count("### scene") == 1
    assert done.stderr.count("::error title=scene") == 1


def test_committed_reference_is_small_complete_and_of_the_shipped_suite() -> None:
    file = REPOSITORY / "results" / "reference" / "fgsm_pgd.json"
    suite = load_suite(REPOSITORY / "suites" / "fgsm_pgd.yaml")
    reference = from_file(file)
    assert file.stat().st_size < 200_000
    assert {cell.model for cell in reference.header.cells} == {model.name for model in suite.models}
    assert set(reference.outcomes) == {cell.key for cell in reference.header.cells}
    assert compare(reference, reference).word == "no change shown"
