"""The command line as a user runs it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from bench.cli.commands import main
from bench.errors import Exit
from tests.builders.tiny import CELLS, TINY
from tests.schema_is_current import published

REPOSITORY = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny suite, its results and its cache."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "tiny.yaml").write_text(TINY)
    return folder


def bench(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``bench`` in ``home``."""
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "BENCH_CACHE": str(home / "cache"), **environment}
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=home, env=env, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def first_run(home: Path) -> subprocess.CompletedProcess[str]:
    """The tiny suite's first run: trains, attacks, stores."""
    return bench(home, "run", "tiny.yaml", "--format", "json")


def cell_files(home: Path) -> dict[str, bytes]:
    """The bytes of each cell file by its key, of the newest run."""
    newest = max((home / "results" / "tiny").iterdir())
    return {file.stem: file.read_bytes() for file in (newest / "cells").iterdir()}


def test_first_run_prints_json_of_every_cell(first_run: subprocess.CompletedProcess[str]) -> None:
    assert first_run.returncode == Exit.OK, first_run.stderr
    printed = json.loads(first_run.stdout)
    assert printed["status"] == "complete"
    assert len(printed["cells"]) == CELLS
    assert {c["status"] for c in printed["cells"]} == {"ok"}
    assert len(printed["crosschecks"]) == CELLS // 2
    assert {c["verdict"] for c in printed["crosschecks"]} == {"agree"}
    for cell in printed["cells"]:
        assert cell["n"] == 12
        assert cell["asr_low"] <= cell["asr"] <= cell["asr_high"]
        assert cell["robust_accuracy"] == pytest.approx(
            cell["accuracy"] - cell["asr"] * cell["n_correct"] / 12
        )


def test_second_run_computes_nothing(home: Path, first_run: subprocess.CompletedProcess[str]) -> None:
    before = {file: file.stat().st_mtime_ns for file in home.glob("results/*/*/cells/*")}
    again = bench(home, "run", "tiny.yaml", "--format", "json")
    assert json.loads(again.stdout) == json.loads(first_run.stdout)
    assert "trained" not in again.stderr
    assert {file: file.stat().st_mtime_ns for file in home.glob("results/*/*/cells/*")} == before


def test_fresh_run_gives_byte_identical_records(
    home: Path, first_run: subprocess.CompletedProcess[str]
) -> None:
    before = cell_files(home)
    again = bench(home, "run", "tiny.yaml", "--fresh", "--format", "json")
    assert json.loads(again.stdout)["run_id"] != json.loads(first_run.stdout)["run_id"]
    assert cell_files(home) == before
    assert len(before) == CELLS


@pytest.mark.usefixtures("first_run")
def test_deleted_cell_is_computed_again_and_only_that(home: Path) -> None:
    for run in sorted((home / "results" / "tiny").glob("2*"))[1:]:
        shutil.rmtree(run)  # else the cell is taken over from there
    cells = sorted(home.glob("results/*/*/cells/*"))
    content = cells[0].read_bytes()
    cells[0].unlink()
    kept = {file: file.stat().st_mtime_ns for file in cells[1:]}
    again = bench(home, "run", "tiny.yaml")
    assert again.returncode == Exit.OK
    assert "[1/1]" in again.stderr
    assert cells[0].read_bytes() == content
    assert {file: file.stat().st_mtime_ns for file in kept} == kept


@pytest.mark.usefixtures("first_run")
@pytest.mark.parametrize("columns", [80, 140])
def test_leaderboard_fits_the_terminal(home: Path, columns: int) -> None:
    printed = bench(home, "run", "tiny.yaml", COLUMNS=str(columns)).stdout
    assert max(map(len, printed.splitlines())) <= columns
    for word in ("baseline", "lora-fc", "fgsm", "pgd-3", "16/255", "agree"):
        assert word in printed
    assert "…" not in printed


@pytest.mark.usefixtures("first_run")
def test_csv_and_markdown_hold_the_same_numbers(home: Path) -> None:
    lines = bench(home, "run", "tiny.yaml", "--format", "csv").stdout.splitlines()
    assert len(lines) == 1 + CELLS
    assert lines[0].startswith("model,seed,attack,eps,norm,library,n,n_correct,accuracy")
    markdown = bench(home, "run", "tiny.yaml", "--format", "md").stdout
    assert markdown.count("| fgsm |") == 2


def test_quiet_says_the_answer_alone_and_verbose_what_is_decided(home: Path) -> None:
    quiet = bench(
        home, "run", "tiny.yaml", "-q", "--fresh", "--workers", "2", "--results", "q", "--format", "json"
    )
    assert (quiet.returncode, quiet.stderr) == (Exit.OK, "")
    assert len(json.loads(quiet.stdout)["cells"]) == CELLS
    wrong = bench(home, "run", "tiny.yaml", "-q", "--only", "zzz")
    assert (wrong.returncode, wrong.stdout) == (Exit.USAGE, "")
    assert wrong.stderr.startswith("bench: --only zzz: matches no unit")
    loud = bench(
        home, "run", "tiny.yaml", "-v", "--fresh", "--workers", "2", "--results", "v", "--format", "json"
    )
    assert json.loads(loud.stdout)["cells"][0]["asr"] == json.loads(quiet.stdout)["cells"][0]["asr"]
    said = loud.stderr.splitlines()
    assert any(line.startswith("bench: on cpu with torch ") for line in said)
    assert "bench: tiny: 12 images of digits" in said
    assert any(line.endswith(f": {CELLS} of {CELLS} cells are to be computed") for line in said)
    assert "bench: tasks: 8, worker processes: 2" in said
    attacked = [line for line in said if "forward and" in line]
    assert len(attacked) == CELLS // 2, "each unit's worker says what it spent"
    right = next(cell["n_correct"] for cell in json.loads(loud.stdout)["cells"] if cell["model"] == "lora-fc")
    assert right
    once = f"{right} forward and {right} backward passes"  # a gradient of an image serves both eps
    assert any(line.startswith(f"bench: lora-fc/0/fgsm/art: 2 cells, {once} in ") for line in attacked)


@pytest.mark.usefixtures("first_run")
def test_dry_run_writes_nothing(home: Path, tmp_path: Path) -> None:
    empty = bench(home, "run", "tiny.yaml", "--dry-run", "--results", str(tmp_path / "none"))
    assert f"{CELLS} cells, 0 cached, {CELLS} to compute" in empty.stdout
    assert not (tmp_path / "none").exists()
    full = bench(home, "run", "tiny.yaml", "--dry-run")
    assert f"{CELLS} cells, {CELLS} cached, 0 to compute: about 0 s" in full.stdout


@pytest.mark.usefixtures("first_run")
def test_compare_lists_runs(home: Path) -> None:
    done = bench(home, "compare", "results")
    assert done.returncode == Exit.OK
    assert "tiny" in done.stdout
    assert "lora-fc" in done.stdout


@pytest.mark.usefixtures("first_run")
def test_only_that_matches_nothing_is_a_mistake(home: Path) -> None:
    done = bench(home, "run", "tiny.yaml", "--only", "zzz*", "--results", "none")
    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert "--only zzz*: matches no unit of this suite; its first is baseline/0/fgsm/foolbox" in done.stderr
    assert not list((home / "none").glob("*/*"))


@pytest.mark.usefixtures("first_run")
def test_train_says_where_the_weights_are(home: Path) -> None:
    before = sorted((home / "cache" / "models").iterdir())
    done = bench(home, "train", "tiny.yaml", COLUMNS="80")
    assert done.returncode == Exit.OK, done.stderr
    lines = done.stdout.splitlines()
    rows = [line.split() for line in lines if line.strip().startswith(("baseline ", "lora-fc "))]
    assert [row[:3] for row in rows] == [["baseline", "0", "full"], ["lora-fc", "0", "lora"]]
    folders = [Path(lines[lines.index(f"{name}:") + 1]) for name in ("baseline", "lora-fc")]
    assert set(folders) <= set(before), "each whole on a line of its own, however long"
    assert sorted((home / "cache" / "models").iterdir()) == before, "nothing is trained twice"
    assert (folders[1] / "adapter" / "adapter_config.json").is_file()


def test_only_runs_what_matches_and_says_what_is_left(home: Path) -> None:
    done = bench(
        home, "run", "tiny.yaml", "--only", "baseline/*/art", "--results", "part", "--format", "json"
    )
    assert done.returncode == Exit.OK, "what was asked for is complete"
    printed = json.loads(done.stdout)
    assert printed["status"] == "incomplete", "the run is not"
    cells = printed["cells"]
    assert {(c["model"], c["library"]) for c in cells if c["status"] == "ok"} == {("baseline", "art")}
    assert {c["status"] for c in cells} == {"ok", "not run"}
    assert (
        f"what --only asks for: complete; {CELLS * 3 // 4} of {CELLS} cells of the suite are left to a run"
        in done.stderr
    )


@pytest.mark.usefixtures("first_run")
def test_shards_into_the_same_folder_make_the_whole_run(home: Path) -> None:
    first = bench(home, "run", "tiny.yaml", "--shard", "1/2", "--results", "shards", "--format", "json")
    assert first.returncode == Exit.OK
    assert [c["status"] for c in json.loads(first.stdout)["cells"]].count("ok") == CELLS // 2
    assert (
        f"shard 1/2: complete; {CELLS // 2} of {CELLS} cells of the suite are left to the other shards"
        in first.stderr
    )
    second = bench(home, "run", "tiny.yaml", "--shard", "2/2", "--results", "shards", "--format", "json")
    assert second.returncode == Exit.OK
    assert "left to" not in second.stderr
    assert len(list(home.glob("shards/tiny/2*"))) == 1


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/0"])
def test_a_shard_that_is_none_is_refused(home: Path, shard: str) -> None:
    done = bench(home, "run", "tiny.yaml", "--shard", shard)
    assert done.returncode == Exit.USAGE
    assert f"'{shard}' is not I/N" in done.stderr


def test_an_option_is_taken_in_full_only(home: Path) -> None:
    done = bench(home, "run", "tiny.yaml", "--out", "elsewhere")
    assert done.returncode == Exit.USAGE
    assert "unrecognized arguments: --out elsewhere" in done.stderr
    assert not (home / "elsewhere").exists()


@pytest.mark.parametrize("what", ["suites", "models", "attacks", "defences", "data", "libraries"])
def test_list(home: Path, what: str) -> None:
    done = bench(home, "list", what)
    assert done.returncode == Exit.OK
    expected = {
        "suites": "fgsm_pgd",
        "models": "lora-fc-conv1",
        "attacks": "exact",
        "defences": "round-robin",
        "data": "digits",
        "libraries": "foolbox",
    }
    assert expected[what] in done.stdout


@pytest.mark.parametrize("what", ["suites", "models", "attacks", "defences", "data", "libraries"])
def test_a_list_for_programs_has_what_the_table_shows(
    what: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["list", what, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    Draft202012Validator(json.loads(published("listing").read_text())).validate(document)
    assert (document["kind"], document["schema_version"]) == (what, 1)
    for columns in (80, 140):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert main(["list", what]) == 0
        printed = capsys.readouterr().out.splitlines()
        assert max(map(len, printed)) <= columns
        words = {word for line in printed for word in line.split()}
        header = {
            word
            for name in document["rows"][0]
            if name not in ("access", "budget")
            for word in name.split("_")
        }
        assert header <= words, "no header is broken inside a word"


def test_doctor_finds_this_machine_ready(home: Path) -> None:
    done = bench(home, "doctor")
    assert done.returncode == Exit.OK, done.stdout
    assert "torch" in done.stdout
    assert all(f" {what} " in done.stdout for what in ("precision bf16", "lossless form", "batch size"))
    assert str(home / "cache")[:20] in done.stdout


def test_doctor_needs_nothing_that_only_linux_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert main(["doctor"]) == 0
    assert f"{os.cpu_count()} usable cores; a run uses" in " ".join(capsys.readouterr().out.split())


def test_unknown_device(home: Path) -> None:
    done = bench(home, "run", "tiny.yaml", "--device", "cuda:99")
    assert done.returncode == Exit.USAGE
    assert "no such device" in done.stderr
    assert "Traceback" not in done.stderr


MATRIX = "matrix: {targets: {stem: [conv11]}}\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "targets: [fc]",
            "targets: [fcc]",
            "wrong.yaml:13: target 'fcc' is not a layer of this backbone; did you mean 'fc'?",
        ),
        ("classes: [6, 7]", "classes: [6, 70]", "wrong.yaml:8: data: no class '70'; did you mean '7'?"),
        ("classes: [0, 1]", "classes: [0, 10]", "wrong.yaml:6: data: no class '10'; did you mean '1'?"),
        (
            "eps: [2/255, 16/255]\n",
            "eps: [2/255, 16/255]\n" + MATRIX,
            "wrong.yaml:16: target 'conv11' is not a layer",
        ),
    ],
)
def test_what_cannot_be_had_is_named_by_file_and_line(home: Path, old: str, new: str, message: str) -> None:
    assert TINY.count(old) == 1
    (home / "wrong.yaml").write_text(TINY.replace(old, new))
    done = bench(home, "run", "wrong.yaml", "--results", "wrong", BENCH_CACHE=str(home / "wrong-cache"))
    assert done.returncode == Exit.USAGE
    assert done.stderr.startswith(f"bench: {message}")
    assert not [file for folder in ("wrong", "wrong-cache") for file in (home / folder).rglob("*.json")]
