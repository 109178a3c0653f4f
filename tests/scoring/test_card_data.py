"""What tables print in words is data on the scorecard, and in Python on the result."""

from fractions import Fraction
from pathlib import Path

import bench
from bench.scoring.flags import Flag
from bench.store import list_runs
from tests.builders.boards import one_seed, three_seeds


def test_flags_unchecked_extremes_and_sentences_are_on_the_card(tmp_path: Path) -> None:
    card = one_seed(tmp_path)
    masked = [flag for flag in card.flags if flag.check == "unconstrained"]
    assert masked == [Flag("unconstrained", "fail", "lora|r=8", ("fgsm",), 4, masked[0].detail)], (
        "two libraries at two eps"
    )
    assert card.unchecked["binarisation"] == 2, "the black box of each eps had two samples to be judged by"
    worst = {(e.attack, e.verdict): e for e in card.extremes}
    assert worst["fgsm", "agree"].cells == 4
    assert worst["fgsm", "agree"].lowest_agreement == 1.0
    assert worst["pgd", "differ"].widest.stronger == "art"
    assert sum(e.cells for e in card.extremes) == len(card.crosschecks)
    assert card.headline_eps == Fraction(8, 255)
    assert all(sentence.text.count(": ") >= 2 or "cannot" in sentence.text for sentence in card.sentences)
    assert card.method.startswith("McNemar's mid-p")


def test_a_result_has_them_too(tmp_path: Path) -> None:
    card = one_seed(tmp_path)
    result = bench.load(list_runs(tmp_path)[0])
    assert result.sentences == [sentence.text for sentence in card.sentences]
    assert result.flags["check"].tolist() == [flag.check for flag in card.flags]
    assert result.flags["attacks"].tolist() == [flag.attacks for flag in card.flags]


def test_a_board_without_flags_has_an_empty_frame_with_its_columns(tmp_path: Path) -> None:
    card = three_seeds(tmp_path)
    result = bench.load(list_runs(tmp_path)[0])
    assert len(result.flags) == len(card.flags)
    assert list(result.flags.columns) == ["check", "grade", "model", "attacks", "cells", "detail"]
