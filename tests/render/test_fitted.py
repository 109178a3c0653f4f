"""Tables on narrow terminals: where a text may break, which column gives way, and that paths stay whole."""

import io
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from adapters.cache.card import Card
from bench.engine.summaries import Trained
from bench.ids import ModelId
from bench.render.fitted import broken, fitted
from bench.render.listing import trained_table
from bench.render.output import show
from bench.scoring.score import score
from bench.scoring.scorecard import Scorecard
from bench.store import StoredRun
from tests.builders import boards
from tests.render.test_leaderboard_formats import printed

LONG = tuple(
    f"{backbone}lora-{layers}{training}"
    for backbone in ("", "robust-")
    for layers in ("fc", "fc-conv1", "convs")
    for training in ("", "-adv")
)
"""Names as those of suites/robust_lora.yaml."""


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("robust-lora-fc-conv1-adv", 24, ["robust-lora-fc-conv1-adv"]),
        ("robust-lora-fc-conv1-adv", 23, ["robust-lora-fc-conv1-", "adv"]),
        ("robust-lora-fc-conv1-adv", 12, ["robust-lora-", "fc-conv1-adv"]),
        ("robust-lora-fc-conv1-adv", 7, ["robust-", "lora-", "fc-", "conv1-", "adv"]),
        ("robust-lora", 4, ["robu", "st-", "lora"]),
        ("lora_rank=8|head/0", 10, ["lora_rank=", "8|head/0"]),
        ("of two words-apart", 11, ["of two", "words-apart"]),
        ("-10.3 [-15.3, -5.3]", 14, ["-10.3 [-15.3,", "-5.3]"]),
        ("  art, 8/255", 12, ["  art, 8/255"]),
        ("mean ± sd\nover seeds", 10, ["mean ± sd", "over seeds"]),
        ("模型-甲乙", 5, ["模型-", "甲乙"]),
        ("", 3, [""]),
    ],
)
def test_a_text_breaks_between_words_then_behind_separators_then_anywhere(
    text: str, width: int, lines: list[str]
) -> None:
    assert broken(text, width).split("\n") == lines


def drawn(shown: RenderableType, width: int) -> list[str]:
    """The lines of ``shown`` on a terminal of ``width`` columns."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(shown)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def table(width: int, rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        line.strip() for line in drawn(fitted("", ("a name", "share"), rows, width, right=["share"]), width)
    ]


def test_columns_come_closer_before_a_name_breaks_and_numbers_break_last() -> None:
    rows = [("lora-conv1", "97.5 [94, 99]")]
    assert table(28, rows)[-2] == "lora-conv1   97.5 [94, 99]"
    assert table(27, rows)[-2] == "lora-conv1  97.5 [94, 99]"
    assert table(26, rows)[-3:-1] == ["lora-      97.5 [94, 99]", "conv1"]
    assert table(22, rows)[-3:-1] == ["lora-  97.5 [94, 99]", "conv1"]
    assert table(21, rows)[-3:-1] == ["lora-     97.5 [94,", "conv1           99]"]


def test_an_empty_row_is_a_line_and_a_short_one_a_heading() -> None:
    found = table(30, [("one", "1"), (), ("two", "2"), ("below",), ("three", "3")])
    assert [re.sub(r" +", " ", line) for line in found[3:]] == [
        "one 1", "", "two 2", "", "below", "three 3", "",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Scorecard:
    """A run of many models with long names: fixed-budget, minimum-norm and black-box attacks."""
    cells = [
        boards.entry(model, 0, attack, eps, library)
        for model in LONG
        for attack, library in (("fgsm", "foolbox"), ("square", "art"), ("deepfool", "foolbox"))
        for eps in ("8/255", "16/255")
    ]
    run = boards.open_board(tmp_path_factory.mktemp("long"), cells)
    for cell in cells:
        run.write_cell(cell.key, boards.records_of(cell), seconds=1.5, forwards=20, backwards=10)
    run.save("complete")
    return score(StoredRun(run.path))


@pytest.mark.parametrize("width", [80, 140])
def test_no_word_of_a_leaderboard_is_broken(card: Scorecard, width: int) -> None:
    """At 300 columns nothing has to break; else there are the same words, or parts of names."""
    whole = set(printed(card, 300).split())
    assert set(LONG) <= whole
    parts = [re.findall(r"[a-z0-9]+-?", name) for name in LONG]
    runs = {"".join(own[i:j]) for own in parts for i in range(len(own)) for j in range(i + 1, len(own) + 1)}
    text = printed(card, width)
    assert max(map(len, text.splitlines())) <= width
    assert {word for word in text.split() if not word.startswith("─")} <= whole | runs


def test_where_weights_are_is_whole_on_a_line_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    folder = tmp_path / ("models and more/" * 8) / "0123456789abcdef"
    card = Card("ff", "lora", 4136, 11_000_000, (0.5,))
    found = [Trained(ModelId(LONG[-1], 0), card, folder)]
    show(lambda console: trained_table(found, console.width))
    lines = capsys.readouterr().out.splitlines()
    assert lines[lines.index(f"{LONG[-1]}:") + 1] == str(folder)
    assert max(len(line) for line in lines if line != str(folder)) <= 80
