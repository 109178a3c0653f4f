"""Each of the study's answers follows from what was published: on runs made by hand with known answers."""

from pathlib import Path

import numpy as np
import pytest

from bench.scoring.published import Published, publish
from bench.scoring.rescored import rescore
from bench.scoring.statistics import mean_difference, wilson
from bench.text import interval, points
from docs.study.found import Found, differences
from docs.study.one_run import one_runs, pooled
from docs.study.questions import QUESTIONS, Answer
from tests.builders.published import N, first, published
from tests.scoring.test_published import run_of


def found(run: Published) -> Found:
    return Found(run.suite_name, run, rescore(run))


def answer(letter: str, run: Published) -> Answer:
    (question,) = [q for q in QUESTIONS if q.letter == letter]
    return question.answer([found(run)])


def worst(models: dict[str, list[int]], attack: str = "pgd-10") -> dict[tuple[str, str], list[int]]:
    """One attack, which is the worst case."""
    return {(m, a): counts for m, counts in models.items() for a in (attack, "worst case")}


def test_a_difference_and_a_null_are_told_apart_with_what_could_have_been_seen() -> None:
    run = published(
        "three", worst({"baseline": [20, 21, 22], "lora-fc": [60, 61, 62], "lora-fc-conv1": [21, 20, 22]})
    )
    (weak, same, between) = [d for d in differences(rescore(run)) if d.quantity == "robust accuracy"]
    lora, base = (
        np.stack([~first(count) for count in counts]).astype(float) for counts in ([60, 61, 62], [20, 21, 22])
    )
    by_hand = mean_difference(lora, base, 0.05 / 3)
    assert (weak.difference, weak.low, weak.high) == (by_hand.difference, by_hand.low, by_hand.high)
    assert weak.difference == pytest.approx(-0.4)
    assert (weak.answer, same.answer, between.answer) == ("no: less robust", "no difference shown", "yes")
    said = answer("a", run)
    assert "lora-fc is less robust than baseline (-40.0 points [" in said.short
    assert "lora-fc-conv1 against baseline: no difference shown (+0.0 points [" in said.short
    assert "points would have been seen)" in said.short
    (row,) = [
        line
        for line in said.lines
        if line.startswith("| Is lora-fc more robust than baseline, worst case 8/255? ")
    ]
    assert "| **no: less robust** | -40.0 points [" in row
    (studys,) = [line for line in said.lines if line.startswith("| lora-fc |")]
    assert "| 5 | 96 | – | 100.0 [" in studys, (
        "its share of parameters, then the study's own numbers, then ours"
    )


def test_one_run_each_is_counted_over_every_pair_of_trainings() -> None:
    run = published("noisy", worst({"baseline": [20, 40], "lora-fc": [30, 30]}))
    both = {one.claim.quantity: one for one in one_runs(found(run))}
    one = both["robust accuracy"]
    assert not one.claim.shown
    assert sorted(one.found) == pytest.approx([-0.1, -0.1, 0.1, 0.1])
    assert (one.contradicts, one.unfounded, one.split) == (0, 1, 0.5)
    share = pooled([one.unfounded, one.unfounded], [one, one])
    assert (share.value, share.low, share.high) == (1, *wilson(1, 2, 1.959963984540054)), (
        "claims of one suite share trainings"
    )
    clear = published("clear", worst({"baseline": [20, 21, 20], "lora-fc": [60, 61, 60]}))
    assert [(o.contradicts, o.unfounded) for o in one_runs(found(clear))] == [(0, 0)] * 2
    assert "names a winner all the same in 100.0 [" in answer("g", run).short


def test_rank_and_layers_are_each_varied_alone() -> None:
    models = {
        "lora-fc-r1": [60, 61],
        "lora-fc-r32": [60, 61],
        "lora-all-r1": [10, 11],
        "lora-all-r32": [10, 11],
    }
    said = answer("b", published("ranks", worst(models))).short
    rank, layers = said.split(". Of")
    assert "Of 2 pairs that differ in rank alone, 0 are shown to differ" in rank
    assert "2 pairs that differ in layers alone, 2 are shown to differ" in layers
    assert "lora-all-r1 is more robust than lora-fc-r1 (+50.0 points [" in layers
    assert "lora-all-r32 against lora-fc-r1" not in said, "two things at once"


def test_certainty_is_compared_with_itself_before_the_attack() -> None:
    run = published(
        "boxes", {("m", "zoo"): [50, 50], ("m", "boundary"): [50, 50]}, {"zoo": 0.25, "boundary": 0.95}
    )
    said = answer("c", run)
    assert "certainty falls in 1, rises in 1, and no change is shown in 0: from -0.500 [" in said.short
    (row,) = [line for line in said.lines if line.startswith("| m | zoo 8/255 |")]
    assert "| 50.0 [" in row
    assert "**falls**" in row


def test_transfer_is_compared_with_an_attack_on_the_model_itself() -> None:
    run = published(
        "transfer",
        {
            ("public", "pgd-10"): [80, 81],
            ("lora-fc", "pgd-10"): [70, 71],
            ("lora-fc", "pgd-10 on public"): [30, 31],
            ("lora-fc", "pgd-10 on other"): [99, 99],
        },
    )
    said = answer("f", run)
    assert said.short.startswith("lora-fc loses 30.5 [")
    assert "% of what it gets right to attacks on the public model, 70.5 [" in said.short
    (row,) = [line for line in said.lines if line.startswith("| lora-fc | 70.5 [")]
    assert "| -40.0 points [" in row
    assert row.endswith("| **no: less often** |")


def test_defences_are_answered_by_what_they_gain_against_who_knows_them(tmp_path: Path) -> None:
    run = publish(run_of(tmp_path, 1, defended=True))
    said, (score,) = answer("d", run), rescore(run).defences
    assert score.gain is not None
    gain = f"{points(score.gain.difference)} points {interval(score.gain.low, score.gain.high)}"
    assert (
        f"of 1 defended models, {int(score.gain.shown and score.gain.difference > 0)} are shown to gain"
        in said.short
    )
    assert f"the gains are from {gain} to {gain}" in said.short
    assert "would have been seen" in said.short
    assert any(score.sentence in line for line in said.lines)


def test_what_cannot_be_compared_is_said_and_no_error() -> None:
    nobody = published("none", {("m", "pgd-10"): [100, 100], ("m", "worst case"): [100, 100]})
    for letter in "cdg":
        assert answer(letter, nobody).short == "Nothing that was run can be compared"


def test_every_number_of_a_short_answer_has_its_interval() -> None:
    assert N == 100
    for letter, run in (
        ("a", published("a", worst({"baseline": [20, 30, 25], "lora-fc": [31, 20, 26]}))),
        ("b", published("b", worst({"lora-fc-r1": [20, 30, 25], "lora-fc-r2": [31, 20, 26]}))),
        ("f", published("f", {("lora-fc", "pgd-10"): [3, 4], ("lora-fc", "pgd-10 on public"): [1, 2]})),
    ):
        short = answer(letter, run).short
        assert short.count("[") == short.count("]") >= 1
        assert all(
            "[" in part
            for part in short.split(" points")[:-1]
            if part.rstrip()[-1:].isdigit() and "+" in part[-6:]
        )
