"""Each of the study's answers follows from what was published: on runs made by hand with known answers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.scoring.published import Published, publish
from bench.scoring.rescored import rescore
from bench.scoring.statistics import mean_difference, wilson
from bench.text import interval, points
from docs.study.answer import Answer
from docs.study.found import Difference, Found, differences
from docs.study.one_run import NORMAL, one_runs, pooled
from docs.study.questions import QUESTIONS
from docs.study.tables import in_brief
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
    assert said.short.startswith("three, against baseline: lora-fc less robust (-40.0 points [")
    assert "lora-fc-conv1 no difference in robust accuracy shown (+0.0 points [" in said.short
    assert "points would have been seen), no difference in certainty shown (+0.000 [" in said.short
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
    assert (share.value, share.low, share.high) == (1, *wilson(1, 2, NORMAL)), (
        "claims of one suite share trainings"
    )
    clear = published("clear", worst({"baseline": [20, 21, 20], "lora-fc": [60, 61, 60]}))
    assert [(o.contradicts, o.unfounded) for o in one_runs(found(clear))] == [(0, 0)] * 2
    assert "names a winner all the same in 100.0 [" in answer("g", run).short


def test_suites_that_train_for_the_same_task_count_as_one() -> None:
    digits, cifar = ({"data": {"source": source}} for source in ("digits", "cifar10"))
    there = replace(published("there", worst({"a": [20, 40, 30], "b": [30, 30, 30]})), suite=digits)
    here = replace(published("here", worst({"a": [20, 40], "b": [30, 30]})), suite=digits)
    apart = replace(there, suite=cifar)
    ones = [next(iter(one_runs(found(run)))) for run in (here, there, apart)]
    assert [pooled([0.5], [one]).low for one in ones] == [wilson(0.5, n, NORMAL)[0] for n in (2, 3, 3)]
    assert pooled([0.5, 0.5], ones[:2]).low == wilson(0.5, 3, NORMAL)[0]
    assert pooled([0.5] * 3, ones).low == wilson(0.5, 6, NORMAL)[0]


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
    assert "certainty falls in 1, rises in 1, and no change is shown in 0. The changes are from -0.500 [" in (
        said.short
    )
    (row,) = [line for line in said.lines if line.startswith("| m | zoo 8/255 |")]
    assert "| 50.0 [" in row
    assert "**falls**" in row
    cells = [replace(c, sound=False) if (c.attack, c.seed) == ("zoo", 1) else c for c in run.cells]
    assert answer("c", replace(run, cells=tuple(cells))).lines[-1] == (
        "Left out, since a trust check fails there: m under zoo."
    )


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
    assert said.short.startswith("Of what lora-fc gets right, attacks on the public model break 30.5 [")
    assert "attacks on itself 70.5 [" in said.short
    assert "%: broken less often (-40.0 points [" in said.short
    (row,) = [line for line in said.lines if line.startswith("| lora-fc | 70.5 [")]
    assert "| -40.0 points [" in row
    assert "| **no: broken less often** |" in row


def test_defences_of_one_training_gain_what_the_runs_own_report_says(tmp_path: Path) -> None:
    run = publish(run_of(tmp_path, 1, defended=True))
    said, (score,) = answer("d", run), rescore(run).defences
    assert score.gain is not None
    gain = f"{points(score.gain.difference)} points {interval(score.gain.low, score.gain.high)}"
    assert f"differences are from {score.model.name} {gain} to {score.model.name} {gain}, and" in said.short
    assert "would have been seen" in said.short
    beside = f"| {score.model.name} | the best of {score.members} |"
    (row,) = [line for line in said.lines if line.startswith(beside)]
    assert f"| {gain} |" in row


def switching(naive: list[int], adaptive: list[int]) -> Published:
    """Trainings of one adapter, and of a defence around it by how many samples it loses to whom."""
    lora = [50, 51, 52][: len(naive)]
    counts = {
        ("lora", "pgd-10"): lora,
        ("lora", "worst case"): lora,
        ("squeezed", "pgd-10 bpda"): adaptive,
        ("squeezed", "worst naive case"): naive,
        ("squeezed", "worst case"): adaptive,
    }
    run = published("switching", counts)
    models = [replace(m, of=("lora",)) if m.model == "squeezed" else m for m in run.models]
    cells = [replace(c, role="adaptive") if c.attack == "pgd-10 bpda" else c for c in run.cells]
    return replace(run, models=tuple(models), cells=tuple(cells))


@pytest.mark.parametrize(("low", "high"), [(0.01, 0.3), (-0.3, -0.01)])
def test_a_null_whose_own_interval_leaves_out_zero_owes_it_to_the_correction(low: float, high: float) -> None:
    null = Difference("a", "b", "certainty", "clean", (low + high) / 2, low, high, 0.06, 0.4, False, False)
    assert null.answer == "no difference shown after correction"
    assert in_brief(null).startswith("no difference in certainty shown after correction (")
    assert replace(null, low=-0.3, high=0.3).answer == "no difference shown"


def test_defences_of_several_trainings_are_tested_over_these() -> None:
    run = switching(naive=[10, 11, 12], adaptive=[50, 50, 51])
    said = answer("d", run)
    defended, alone = (
        np.stack([~first(count) for count in counts]).astype(float) for counts in ([50, 50, 51], [50, 51, 52])
    )
    by_hand = mean_difference(defended - alone, np.zeros_like(alone))  # the same weights: paired by training
    gain = f"{points(by_hand.difference)} points {interval(by_hand.low, by_hand.high)}"
    assert len(rescore(run).defences) == 3, "one of each training"
    assert said.short.startswith(
        "Of 1 defended models, 0 are shown to gain robust accuracy against attackers who"
    )
    assert f"from squeezed {gain} to squeezed {gain}, and a difference of " in said.short
    assert "do not know it, 1 (squeezed +40.0 points [" in said.short
    (row,) = [line for line in said.lines if line.startswith("| squeezed | lora |")]
    assert "| **no difference shown** |" in row
    assert "| +0.0 points [" in row, "clean accuracy"
    worse = answer("d", switching(naive=[80, 81, 82], adaptive=[80, 81, 82]))
    assert "attackers who know the defence, and 1 to lose some; differences" in worse.short
    assert "| **no: a loss** |" in "".join(worse.lines)


def test_what_was_trained_once_stands_behind_what_was_trained_several_times() -> None:
    once = replace(switching(naive=[10], adaptive=[10]), suite_name="once")
    several = switching(naive=[10, 11, 12], adaptive=[50, 51, 52])
    (question,) = [q for q in QUESTIONS if q.letter == "d"]
    both = question.answer([found(several), found(once)])
    others = (
        "Of 1 others, trained once, 1 (squeezed +40.0 points [+29.8, +49.3]) is shown to gain any against"
    )
    assert both.short == f"{answer('d', several).short}. {others} attackers who know"
    assert "### once" in both.lines


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
