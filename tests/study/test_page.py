"""The study's page says what the published runs say, and these are runs of the suites as they are shipped."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from bench.suite.suite import find_suite, load_suite, suite_from
from docs.study.__main__ import main
from docs.study.found import PUBLISHED, load
from docs.study.page import page
from docs.study.questions import QUESTIONS
from tests.builders.boards import three_seeds
from tests.schema_is_current import ROOT, published

PAGE = ROOT / "docs" / "study"
SUITE = """
name: study_digits
backbone: {architecture: timm/test_resnet, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}
data: {source: digits, classes: [6, 7], size: 16, samples: 12, train_per_class: 16}
training: {epochs: 1, augmentation: none}
models: [{name: baseline}, {name: lora-fc, adaptation: {method: lora, r: 2, targets: [fc]}}]
seeds: [0, 1]
eps: [16/255]
trust: "off"
attacks: [{attack: fgsm}]
"""
FILES = sorted(PUBLISHED.glob("*.json"))


def test_the_page_is_the_one_that_the_published_runs_give() -> None:
    assert page(load()) == (PAGE / "index.md").read_text(encoding="utf-8"), (
        "make it anew: python -m docs.study"
    )


def test_every_figure_of_the_page_is_there_and_no_other() -> None:
    drawn = {file.name for file in PAGE.glob("*.svg")}
    text = (PAGE / "index.md").read_text(encoding="utf-8")
    assert drawn == {f"{name}.svg" for q in QUESTIONS if q.figures for name in q.suites if name in load()}
    assert all(f"]({name})" in text for name in drawn)


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_published_run_is_of_a_shipped_suite_and_keeps_to_its_schema(file: Path) -> None:
    data = json.loads(file.read_text())
    Draft202012Validator(json.loads(published("published").read_text())).validate(data)
    assert data["status"] == "complete"
    ran, shipped = suite_from(data["suite"]), load_suite(find_suite(file.stem))
    assert ran.model_copy(update={"description": ""}) == shipped.model_copy(update={"description": ""})
    assert file.stem in {name for question in QUESTIONS for name in question.suites}


def test_every_suite_of_the_page_is_shipped_and_trains_several_times() -> None:
    asked = {name for question in QUESTIONS for name in (*question.suites, *question.larger)}
    suites = {name: load_suite(find_suite(name)) for name in asked}
    assert all(suite.name == name for name, suite in suites.items())
    few = {name for name, suite in suites.items() if name.startswith("study_") and len(suite.seeds) < 3}
    assert not few


def test_an_answer_is_short() -> None:
    runs = load()
    for question in QUESTIONS:
        found = [runs[name] for name in question.suites if name in runs]
        short = question.answer(found).short
        assert 1 <= len(short.split(". ")) <= max(3, len(found)), "three sentences, or one of each suite"


def options(place: Path) -> list[str]:
    """Everything in ``place``: what is published, the page, and the runs."""
    folders = {"--published": place / "published", "--page": place, "--results": place / "runs"}
    return [text for option, folder in folders.items() for text in (option, str(folder))]


def test_a_suite_is_run_published_and_put_on_the_page_by_one_command(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SUITE)
    where = options(tmp_path)
    assert main(["run", str(tmp_path / "tiny.yaml"), *where]) == 0
    text = (tmp_path / "index.md").read_text(encoding="utf-8")
    assert len(load(tmp_path / "published")["study_digits"].published.cells) == 2 * 2 * 2, (
        "FGSM and the worst case"
    )
    assert "12 samples of 2 classes at 16 pixels, each model trained 2 times, headline eps 16/255" in text
    assert "| lora-fc |" in text
    assert (tmp_path / "study_digits.svg").read_text(encoding="utf-8").count("<svg") == 1


def test_a_run_is_published_and_the_page_made_by_one_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    three_seeds(tmp_path / "runs")
    where = options(tmp_path)
    assert main(["publish", "latest", *where]) == 0
    (file,) = (tmp_path / "published").glob("*.json")
    assert file.name == "board.json"
    first = (tmp_path / "index.md").read_text(encoding="utf-8")
    assert main(where) == 0
    assert (tmp_path / "index.md").read_text(encoding="utf-8") == first
    assert "Not run: nothing is claimed." in first
    assert main(["publish", str(tmp_path / "nowhere"), *where]) == 2
    assert "nowhere" in capsys.readouterr().err
    file.write_text("{}")
    assert main(where) != 0
    assert "board.json: is not a published run" in capsys.readouterr().err
