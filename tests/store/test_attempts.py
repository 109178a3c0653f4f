"""The gate never passes on an older run: not where the newest ``bench run`` failed, nor where the
reference lacks cells."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.cli.commands import main
from bench.comparison.snapshot import from_file
from bench.engine.interrupt import Interrupted
from bench.engine.summaries import Preview
from bench.errors import UserError
from bench.store import Attempted, attempted
from bench.store.attempts import FILE
from tests.builders.scene import STURDY, Scene, store_scene, store_with_reference
from tests.builders.tiny import TINY
from tests.comparison.test_gate import rewrite

pytest_plugins = ("pytester",)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results with one run of the suite "scene" and its reference."""
    return store_with_reference(tmp_path_factory.mktemp("stored"))


@pytest.fixture
def results(stored: Path, tmp_path: Path) -> Path:
    return shutil.copytree(stored, tmp_path / "results")


@pytest.fixture
def suite(tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite called "scene", of which ``bench run`` finds every cell in the stored run."""
    file = tmp_path / "scene.yaml"
    file.write_text(TINY.replace("name: tiny", "name: scene", 1))
    monkeypatch.setattr(
        "bench.api.pipeline.run_suite", lambda *_: SimpleNamespace(path=next(results.glob("scene/2*")))
    )
    return file


def gate(results: Path, run: str = "latest") -> int:
    return main(["compare", "reference", run, "--gate", "--results", str(results)])


def run(suite: Path, results: Path, *options: str) -> int:
    return main(["run", str(suite), "--results", str(results), *options])


def raising(error: BaseException) -> Callable[..., Any]:
    def stop(*_: Any) -> None:
        raise error

    return stop


BROKEN: dict[str, Callable[[Path], object]] = {
    "no suite there": lambda file: file.unlink(),
    "no YAML": lambda file: file.write_text("name: [scene"),
    "no suite in it": lambda file: file.write_text("name: scene\n"),
    "an unknown key": lambda file: file.write_text(file.read_text() + "epss: 1\n"),
    "no UTF-8": lambda file: file.write_bytes(b"\xff\xfe"),
}


@pytest.mark.parametrize("spoil", BROKEN.values(), ids=BROKEN)
def test_a_suite_that_cannot_be_read(
    spoil: Callable[[Path], object], suite: Path, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(suite)
    assert run(suite, results) == 2
    capsys.readouterr()
    for name in ("latest", str(results / "scene")):
        assert gate(results, name) == 4
        said = capsys.readouterr()
        assert "is older than the newest `bench run`" in said.err
        assert "failed (" in said.err
        assert not said.out
    suite.write_text(TINY.replace("name: tiny", "name: scene", 1))
    assert run(suite, results) == 0
    assert gate(results) == 0, "a run that comes to its end mends it"


STOPPED = {
    "exit 2": (UserError("gone.pt: no such weights file"), 2, "failed (gone.pt: no such weights file)"),
    "interrupted": (Interrupted(2), 130, "failed (SIGINT)"),
    "no room": (OSError(28, "No space left on device", "x"), 4, "No space left on device"),
    "killed": (None, None, "did not finish"),
}


@pytest.mark.parametrize(("error", "code", "said"), STOPPED.values(), ids=STOPPED)
def test_a_run_that_was_stopped(
    error: BaseException | None, code: int | None, said: str,
    suite: Path, results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if error is None:
        Attempted(results, str(suite)).begin()
    else:
        monkeypatch.setattr("bench.api.pipeline.run_suite", raising(error))
        assert run(suite, results) == code
    capsys.readouterr()
    assert gate(results) == 4
    assert said in capsys.readouterr().err
    (older,) = results.glob("scene/2*")
    assert gate(results, str(older)) == 0, "a run that is named by its folder is meant"
    assert main(["compare", "reference", "latest", "--results", str(results)]) == 0, (
        "without --gate, the numbers are shown"
    )


def test_a_crash(suite: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.api.pipeline.run_suite", raising(RuntimeError("a bug")))
    with pytest.raises(RuntimeError):
        run(suite, results)
    assert gate(results) == 4


@pytest.mark.parametrize("options", [["--frsh"], ["--shard", "3/2"], ["--format", "xml"]])
def test_options_that_are_refused(options: list[str], suite: Path, results: Path, tmp_path: Path) -> None:
    for given in (["--results", str(results)], [f"--results={results}"]):
        assert run(suite, results) == 0
        assert gate(results) == 0
        with pytest.raises(SystemExit):
            main(["run", str(suite), *given, *options])
        assert gate(results) == 4
    with pytest.raises(SystemExit):
        main(["run", str(suite), "--results", str(tmp_path / "none"), *options])
    assert not (tmp_path / "none").exists()


def test_a_file_is_known_by_the_suite_that_it_held_before(suite: Path, results: Path) -> None:
    assert run(suite, results) == 0
    BROKEN["no YAML"](suite)
    assert run(suite, results) == 2
    shutil.copytree(results / "scene", results / "other")
    assert gate(results, str(results / "scene")) == 4
    assert main(["compare", "reference", str(results / "other"), "--gate", "--results", str(results)]) == 0


def test_another_suite_does_not_stand_in_the_way(suite: Path, results: Path, tmp_path: Path) -> None:
    assert run(suite, results) == 0
    other = tmp_path / "other.yaml"
    other.write_text(TINY.replace("classes: [6, 7]", "classes: [6, 70]"))
    with attempted(results, str(other)) as attempt:
        attempt.of_suite("tiny")
    assert gate(results, str(results / "scene")) == 0, "it is of another name"
    assert gate(results) == 4, "the latest of all is asked for, and that made nothing"


def test_a_dry_run_is_no_attempt(suite: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(suite, results) == 0
    monkeypatch.setattr("bench.api.preview.preview", lambda *_: Preview((), 0.0))
    assert run(suite, results, "--dry-run") == 0
    assert gate(results) == 0
    assert run(suite, results, "--dry-run", "--gate") == 2


def test_a_newer_attempt_is_not_overwritten_by_an_older_one_that_ends(results: Path) -> None:
    (made,) = results.glob("scene/2*")
    with attempted(results, "scene.yaml") as first:
        first.of_suite("scene")
        with pytest.raises(UserError), attempted(results, "scene.yaml"):
            raise UserError("the second one")
        first.made(made.name)
    assert gate(results) == 4


def test_a_damaged_note_is_refused_by_the_gate_and_written_anew_by_a_run(
    suite: Path, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in ("", "[]", '{"a": 1}', '{"a": {"id": 1}}'):
        (results / FILE).write_text(text)
        assert gate(results) == 4
        assert f"{FILE}: is damaged" in capsys.readouterr().err
    assert run(suite, results) == 0
    assert gate(results) == 0


def test_results_without_notes_are_judged_as_before(results: Path) -> None:
    (results / FILE).unlink(missing_ok=True)
    assert gate(results) == 0


def test_pytest_is_the_same_gate(pytester: pytest.Pytester, results: Path, suite: Path) -> None:
    assert run(suite, results) == 0
    pytester.runpytest_inprocess(str(results), "-p", "no:cacheprovider").assert_outcomes(passed=26)
    BROKEN["no YAML"](suite)
    assert run(suite, results) == 2
    pytester.runpytest_inprocess(str(results), "-p", "no:cacheprovider").assert_outcomes(failed=1)


@pytest.mark.parametrize(
    ("scene", "code", "word"),
    [(Scene(), 0, "PASS"), (Scene(models={"base": Scene().models["base"], "lora": STURDY}), 3, "FAIL")],
)
@pytest.mark.parametrize("form", ["table", "json"])
def test_run_and_gate_in_one_command(
    scene: Scene, code: int, word: str, form: str,
    suite: Path, results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(
        "bench.api.pipeline.run_suite", lambda *_: SimpleNamespace(path=store_scene(results, scene))
    )
    capsys.readouterr()
    assert run(suite, results, "--gate", "--format", form) == code
    said = capsys.readouterr()
    assert f"gate: {word}" in (said.out if form == "table" else said.err)
    if form == "json":
        assert json.loads(said.out)["suite"] == "scene"


def test_run_and_gate_without_a_reference(
    suite: Path, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(results / "reference")
    assert run(suite, results, "--gate") == 4
    assert "scene has no reference" in capsys.readouterr().err


def test_cells_that_the_reference_lacks_do_not_pass(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = results / "reference" / "scene.json"
    cells = json.loads(file.read_text())["cells"]
    rewrite(file, cells=cells[::2])
    assert len(from_file(file).outcomes) == len(cells) // 2
    capsys.readouterr()
    assert (
        main(["compare", "reference", "latest", "--gate", "--results", str(results), "--format", "json"]) == 4
    )
    verdict = json.loads(capsys.readouterr().out)
    assert (verdict["verdict"], len(verdict["new"]), len(verdict["missing"])) == (
        "incomplete",
        len(cells) // 2,
        0,
    )
    assert gate(results) == 4
    assert "`bench reference update RUN` adds it" in " ".join(capsys.readouterr().out.split())
    assert main(["compare", "reference", "latest", "--results", str(results)]) == 0, (
        "only a gate asks for all"
    )
    assert main(["reference", "update", "latest", "--results", str(results)]) == 0
    assert gate(results) == 0
