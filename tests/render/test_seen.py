"""What the models see, in words: samples, classes, size, normalisation and who said so."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from adapters.preprocessing import Origin
from bench import render
from bench.cli.commands import main
from bench.scoring.score import score
from bench.scoring.seen import SAID_BY, Seen, what_is_seen
from bench.store import DataEntry, ModelEntry, RunHeader, StoredRun, list_runs
from tests.builders import boards
from tests.builders.runs import run_header
from tests.render.test_leaderboard_formats import printed

DATA = DataEntry(150, 446, ("1", "3", "5"), 32, (32, 32))
HALF: dict[str, Any] = {"mean": [0.5] * 3, "std": [0.5] * 3, "origin": "suite", "size": None}
IMAGENET: dict[str, Any] = {
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "origin": "weights",
    "size": 224,
}


def header(data: DataEntry | None, *models: ModelEntry) -> RunHeader:
    """A run of ``models`` on ``data``."""
    return run_header((), models, 150, data=data)


def model(name: str, preprocessing: dict[str, Any], *notes: str, seed: int = 0) -> ModelEntry:
    """A model that sees its images so."""
    return ModelEntry(name, seed, "lora", 1, 10, name, preprocessing=preprocessing, notes=notes)


def lines(data: DataEntry | None, *models: ModelEntry) -> list[str]:
    """The text of what is seen."""
    return [line.text for line in what_is_seen(header(data, *models))]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (DATA, "150 of 446 samples at 32 px, their own size"),
        (replace(DATA, n=446), "all 446 samples at 32 px, their own size"),
        (replace(DATA, available=None, native=None), "150 samples at 32 px"),
        (replace(DATA, native=(8, 8)), "150 of 446 samples at 32 px, scaled up from 8 px"),
        (
            replace(DATA, native=(64, 64), cropped=True),
            "150 of 446 samples at 32 px, scaled down from 64 px, cropped",
        ),
        (
            replace(DATA, native=(8, 30)),
            "150 of 446 samples at 32 px, scaled up (their shorter sides have 8 to 30 px)",
        ),
        (
            replace(DATA, native=(8, 40)),
            "150 of 446 samples at 32 px, scaled (their shorter sides have 8 to 40 px)",
        ),
        (
            replace(DATA, native=(32, 32), cropped=True),
            "150 of 446 samples at 32 px, their own size, cropped",
        ),
    ],
)
def test_samples_and_how_their_size_came_about(data: DataEntry, said: str) -> None:
    assert lines(data)[0] == f"attacked: {said}"


def test_the_order_of_the_classes_has_a_name_and_begins_as_it_is() -> None:
    def of(*names: str) -> str:
        return lines(replace(DATA, classes=names))[1]

    assert of("0", "1", "10", "11", "2") == "classes: 5 (order bcf07798): 0, 1, 10, 11, 2"
    assert of("0", "1", "2", "10", "11") != of("0", "1", "10", "11", "2")
    many = of(*(f"n{i:08d}" for i in range(200)))
    assert many.endswith("): n00000000, n00000001, n00000002, n00000003, ...")
    assert of("x" * 99, "y").endswith(f"): {'x' * 43}…, ...")
    assert all(len(text) <= 80 for text in (many, of("x" * 99, "y")))


def test_one_line_where_all_models_are_normalised_the_same_else_one_for_each() -> None:
    half = "normalisation: mean 0.5, std 0.5 (as the suite says)"
    assert lines(None, model("a", HALF), model("a", HALF, seed=1), model("b", HALF)) == [half]
    assert lines(
        None, model("a", HALF), model("b", IMAGENET), model("c", HALF), model("b", IMAGENET, seed=1)
    ) == [
        "normalisation of a, c: mean 0.5, std 0.5 (as the suite says)",
        "normalisation of b: mean 0.485 0.456 0.406, std 0.229 0.224 0.225 (ImageNet's, the weights' own)",
    ]
    assert lines(None, model("a", {**IMAGENET, "origin": "architecture"})) == [
        "normalisation: mean 0.485 0.456 0.406, std 0.229 0.224 0.225 (ImageNet's, the architecture's"
        " default)"
    ]


def test_what_is_only_assumed_is_marked_and_nothing_else_is() -> None:
    found = what_is_seen(
        header(DATA, model("a", {**IMAGENET, "origin": "assumed", "size": None}), model("b", HALF))
    )
    assert [line for line in found if line.assumed] == [
        Seen(
            "normalisation of a: mean 0.485 0.456 0.406, std 0.229 0.224 0.225 (ImageNet's, assumed: give"
            " mean and std)",
            assumed=True,
        )
    ]


def test_weights_that_were_made_for_another_size() -> None:
    text = "the weights{} were made for 224 px, the images have 32 px"
    assert lines(DATA, model("a", IMAGENET), model("b", IMAGENET))[-1] == text.format("")
    assert lines(DATA, model("a", IMAGENET), model("b", HALF))[-1] == text.format(" of a")
    assert lines(replace(DATA, size=224), model("a", IMAGENET))[-1].startswith("normalisation")


def test_notes_name_their_models_unless_they_are_of_all() -> None:
    data = replace(DATA, notes=("of the data",))
    found = lines(data, model("a", {}, "x", "y"), model("a", {}, "x", "y", seed=1), model("b", {}, "y", "z"))
    assert found[2:] == ["of the data", "a: x", "y", "b: z"]
    assert lines(None, model("a", {}, "x")) == ["a: x"]


def test_every_format_shows_it_and_the_assumption_in_yellow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = boards.one_seed(tmp_path)
    texts = [line.text for line in card.seen]
    assert len(texts) == 7
    shown = " ".join(printed(card, 80).split())
    assert all(" ".join(text.split()) in shown for text in texts)
    assert shown.index(texts[-1]) < shown.index("robust accuracy at eps"), "above the numbers"
    data = json.loads(render.to_json(card))
    assert [line["text"] for line in data["seen"]] == texts
    assert [line["assumed"] for line in data["seen"]] == [False] * 4 + [True] + [False] * 2
    assert (data["data"]["n"], data["data"]["classes"]) == (160, ["healthy", "ill"])
    assert data["models"][0]["preprocessing"]["origin"] == "assumed"
    run = StoredRun(list_runs(tmp_path)[0])
    assert [line.text for line in score(run).seen] == texts, "it is read from the stored run"
    assert main(["report", str(run.path), "-o", str(tmp_path / "r.html")]) == 4
    assert '<li class="doubt">normalisation of lora|r=8: mean 0.485 ' in (tmp_path / "r.html").read_text()
    capsys.readouterr()
    assert main(["compare", str(tmp_path)]) == 4
    ranking = " ".join(capsys.readouterr().out.split())
    assert texts[0] in ranking
    assert texts[4] in ranking, "an assumption is worth a line among many runs"
    assert texts[3] not in ranking


def test_a_run_of_before_it_was_kept_shows_nothing(tmp_path: Path) -> None:
    card = boards.three_seeds(tmp_path)
    assert (card.seen, card.data) == ((), None)
    assert not {"attacked:", "classes:", "normalisation"} & set(printed(card, 80).split())
    assert "attacked:" not in render.to_markdown(card)


def test_whoever_can_have_said_a_normalisation_has_a_word() -> None:
    assert set(SAID_BY) == set(get_args(Origin))
