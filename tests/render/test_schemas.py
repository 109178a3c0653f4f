"""Each JSON document names its version and has a published schema, which real ones of each kind keep to."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from packaging.version import Version

import bench
from bench import render
from bench.cli.commands import DOCUMENTS, main
from bench.comparison.compare import compare
from bench.comparison.reproduction import compare as compare_again
from bench.render.reproduction import reproduction_json
from bench.render.schemas import SCHEMAS
from bench.render.verdict_text import verdict_json
from bench.scoring.published import publish, to_text
from bench.store import StoredRun, list_runs
from bench.store.checksum import from_json
from tests.builders.boards import one_seed, three_seeds
from tests.builders.golden import FOLDER
from tests.builders.scene import Scene, store_scene
from tests.builders.snapshots import flags, make_snapshot
from tests.schema_is_current import ROOT, published

WRITES_AS_PUBLISHED = Version(version("pydantic")) >= Version("2.13")
"""Earlier releases leave a dataclass's text out, and write 1 for 1.0."""


def validator(what: str) -> Draft202012Validator:
    schema = json.loads(published(what).read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def check(what: str, document: Any) -> None:
    """``document`` is valid, and would not be without a field, with one more, or in another version."""
    schema = validator(what)
    schema.validate(document)
    assert document["schema_version"]
    for other in (
        {k: v for k, v in document.items() if k != "schema_version"},
        {**document, "surprise": 1},
        {**document, "schema_version": "one"},
    ):
        with pytest.raises(ValidationError):
            schema.validate(other)


@pytest.mark.parametrize("what", DOCUMENTS)
def test_the_published_schema_is_current(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(DOCUMENTS) == set(SCHEMAS)
    assert main(["schema", "--of", what]) == 0
    text = capsys.readouterr().out
    assert _meaning(json.loads(text)) == _meaning(json.loads(published(what).read_text()))
    if WRITES_AS_PUBLISHED:
        assert text == published(what).read_text()


def _meaning(schema: Any) -> Any:
    """``schema`` without its texts, and without what it says by saying nothing."""
    if isinstance(schema, list):
        return [_meaning(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _meaning(part)
        for name, part in schema.items()
        if not (name == "description" and isinstance(part, str))
        and not (name == "additionalProperties" and part is True)
    }


@pytest.mark.parametrize("board", [one_seed, three_seeds])
def test_a_leaderboard_keeps_to_its_schema(board: Any, tmp_path: Path) -> None:
    check("leaderboard", json.loads(render.to_json(board(tmp_path))))


@pytest.mark.parametrize(
    ("name", "what"),
    [("board", "leaderboard"), ("seeds", "leaderboard"), ("exact", "verdict"), ("verdict", "verdict")],
)
def test_what_is_committed_as_an_example_keeps_to_its_schema(name: str, what: str) -> None:
    check(what, json.loads((FOLDER / f"{name}.json").read_text()))


def test_verdicts_with_errors_new_cells_and_nothing_keep_to_theirs() -> None:
    before, after = (
        make_snapshot("a", {"pgd 8/255": flags(20, 100)}),
        make_snapshot("b", {}, errors=["pgd 8/255"]),
    )
    more = make_snapshot("c", {"pgd 8/255": flags(60, 100), "fgsm 1/255": flags(0, 100)}, weights="x")
    for first, second in (
        (before, after),
        (before, more),
        (before, make_snapshot("d", {"fgsm 1/3": flags(1, 100)})),
    ):
        for gated in (True, False):
            check("verdict", json.loads(verdict_json(compare(first, second, gated=gated))))


def test_runs_whole_and_unusable_keep_to_theirs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_scene(tmp_path)
    broken = store_scene(tmp_path, Scene(gate={"alpha": 0.01}), failing="pgd")
    (store_scene(tmp_path) / "run.json").write_text("{}")
    assert main(["compare", str(tmp_path), "--format", "json"]) == 4
    document = json.loads(capsys.readouterr().out)
    assert {run["status"] for run in document["runs"]} == {"complete", "incomplete", "unusable"}
    check("runs", document)
    check("leaderboard", json.loads(render.to_json(bench.load(broken).card)))


@pytest.mark.parametrize("board", [one_seed, three_seeds])
def test_a_published_run_keeps_to_its_schema(board: Any, tmp_path: Path) -> None:
    board(tmp_path)
    (path,) = list_runs(tmp_path)
    check("published", json.loads(to_text(publish(StoredRun(path)))))


def test_a_reproduction_and_run_json_keep_to_theirs(tmp_path: Path) -> None:
    first, second = (StoredRun(store_scene(tmp_path)) for _ in range(2))
    check("reproduction", json.loads(reproduction_json(compare_again(first, second))))
    document = json.loads((first.path / "run.json").read_text())
    check("run", document)
    assert from_json((first.path / "run.json").read_bytes())[1], "its checksum is that of the file"
    assert (ROOT / "docs" / "schemas").is_dir()
