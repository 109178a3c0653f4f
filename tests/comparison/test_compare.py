"""Comparisons with known answers: counts, tests, noise, and the one verdict behind print and exit code."""

import base64
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from bench.comparison.compare import compare, flips_needed
from bench.comparison.phrases import details
from bench.comparison.snapshot import Snapshot, from_file, from_text, to_text
from bench.comparison.verdict import EXITS
from bench.errors import Exit, NotComparableError, UserError
from bench.ids import CellId
from bench.scoring.trust import Grade
from tests.builders.figures import Figure
from tests.builders.snapshots import flags, make_snapshot

N = 160


def test_counts_and_p_value_of_one_cell() -> None:
    before = make_snapshot("a", {"pgd 8/255": flags(60, N)})
    after = make_snapshot("b", {"pgd 8/255": np.roll(flags(60, N), -20)}, weights="v")
    cell, accuracy = compare(before, after).rows
    assert (cell.metric, cell.n, cell.gained, cell.lost) == ("asr", N, 20, 20)
    assert (cell.before, cell.after, cell.difference) == (60 / N, 60 / N, 0)
    assert cell.p_value == 1
    assert (accuracy.metric, accuracy.n, accuracy.before, accuracy.after) == ("accuracy", N, 1, 1)


def test_holm_is_over_all_rows() -> None:
    before = make_snapshot("a", {"pgd 8/255": flags(0, N), "fgsm 8/255": flags(0, N)})
    after = make_snapshot("b", {"pgd 8/255": flags(9, N), "fgsm 8/255": flags(0, N)}, weights="v")
    row = compare(before, after).rows[0]
    assert row.p_value == pytest.approx(binomtest(9, 9, 0.5).pvalue, abs=1e-12)
    assert row.p_adjusted == pytest.approx(3 * row.p_value, abs=1e-12)


def test_asr_is_over_the_samples_that_both_runs_predict_correctly() -> None:
    before = make_snapshot("a", {"pgd 8/255": flags(40, N)}, correct=flags(100, N))
    after = make_snapshot("b", {"pgd 8/255": flags(10, N)}, correct=np.roll(flags(100, N), 20), weights="v")
    asr, accuracy = compare(before, after).rows
    assert (asr.n, asr.before, asr.after, asr.lost) == (80, 20 / 80, 0, 20)
    assert (accuracy.gained, accuracy.lost) == (20, 20)


def test_robust_accuracy_is_over_all_shared_samples() -> None:
    gate = {"metric": "robust_accuracy"}
    before = make_snapshot("a", {"pgd 8/255": flags(40, N)}, correct=flags(100, N), gate=gate)
    after = make_snapshot("b", {"pgd 8/255": flags(10, N)}, correct=flags(100, N), weights="v")
    row = compare(before, after).rows[0]
    assert (row.metric, row.n, row.before, row.after) == ("robust_accuracy", N, 60 / N, 90 / N)


def test_exact_mode_lists_every_flip() -> None:
    before = make_snapshot("a", {"pgd 8/255": flags(3, N)})
    after = make_snapshot("b", {"pgd 8/255": np.roll(flags(3, N), 2)}, provenance={"commit": "c" * 40})
    verdict = compare(before, after, gated=True)
    row = verdict.rows[0]
    assert row.exact
    assert [(f.sample, f.gained) for f in row.flips] == [
        ("sample/000", False), ("sample/001", False), ("sample/003", True), ("sample/004", True)
    ]  # fmt: skip
    assert verdict.word == "fail", "no net change, and yet the code has changed four outcomes"


@pytest.mark.parametrize(("direction", "to", "word"), [
    ("worse", 90, "fail"), ("worse", 30, "pass"), ("better", 90, "pass"), ("better", 30, "fail"),
    ("any", 90, "fail"),
])  # fmt: skip
@pytest.mark.parametrize("metric", ["asr", "robust_accuracy"])
def test_direction(direction: str, to: int, word: str, metric: str) -> None:
    gate = {"direction": direction, "metric": metric}
    before = make_snapshot("a", {"pgd 8/255": flags(60, N)}, gate=gate)
    assert (
        compare(before, make_snapshot("b", {"pgd 8/255": flags(to, N)}, weights="v"), gated=True).word == word
    )


def test_minimum_effect() -> None:
    after = make_snapshot("b", {"pgd 8/255": flags(80, N)}, weights="v")
    words = [
        compare(
            make_snapshot("a", {"pgd 8/255": flags(60, N)}, gate={"min_effect": e}), after, gated=True
        ).word
        for e in (0.124, 0.126)
    ]
    assert words == ["fail", "pass"]


@pytest.mark.parametrize("family", [1, 2, 13, 75, 300])
def test_flips_needed_is_the_fewest_that_are_shown(family: int) -> None:
    k = flips_needed(0.05, family)
    assert family * binomtest(k, k, 0.5).pvalue < 0.05
    assert k == 1 or family * binomtest(k - 1, k - 1, 0.5).pvalue >= 0.05


def test_failed_gate_stays_failed_when_cells_lack() -> None:
    before = make_snapshot("a", {"pgd 8/255": flags(60, N), "fgsm 8/255": flags(0, N)})
    verdict = compare(before, make_snapshot("b", {"pgd 8/255": flags(10, N)}, weights="v"), gated=True)
    assert (verdict.word, len(verdict.missing)) == ("fail", 1)


def test_error_in_the_first_run_is_not_comparable() -> None:
    before = make_snapshot("a", {"pgd 8/255": flags(60, N)}, errors=["fgsm 8/255"])
    verdict = compare(
        before, make_snapshot("b", {"pgd 8/255": flags(60, N), "fgsm 8/255": flags(0, N)}), gated=True
    )
    assert verdict.word == "incomplete"
    assert "the first run has no numbers here" in verdict.not_comparable[0].reason


def test_model_that_predicts_nothing_right_any_more_fails_by_its_accuracy() -> None:
    before = make_snapshot("a", {"pgd 8/255": flags(60, N)})
    after = make_snapshot("b", {"pgd 8/255": flags(60, N)}, correct=flags(0, N), weights="v")
    verdict = compare(before, after, gated=True)
    assert (verdict.word, [row.metric for row in verdict.failures]) == ("fail", ["accuracy"])
    assert verdict.not_comparable[0].reason == "no sample was predicted correctly in both runs"


def test_unreadable_gate_is_refused() -> None:
    before = make_snapshot("a", {"pgd 8/255": flags(60, N)})
    with pytest.raises(UserError, match="gate cannot be read"):
        compare(before, make_snapshot("b", {"pgd 8/255": flags(60, N)}, gate={"alpha": 7}), gated=True)


def simulate(rng: np.random.Generator, shift: float = 0.0) -> tuple[Snapshot, Snapshot]:
    """Two runs of 72 cells whose samples break with equal probabilities, but for ``shift`` in the second."""
    names = [f"attack{a} {e}/255" for a, e in product(range(12), (1, 2, 4, 8, 12, 16))]
    chance = {name: rng.beta(0.5, 0.5, N) for name in names}
    draw = {name: rng.random(N) < p for name, p in chance.items()}
    again = {name: rng.random(N) < np.clip(p + shift, 0, 1) for name, p in chance.items()}
    gate = {"min_effect": 0.0}
    return make_snapshot("a", draw, gate=gate), make_snapshot("b", again, weights="v", gate=gate)


def test_false_alarms_in_200_reruns_that_differ_by_noise_alone(figure: Figure) -> None:
    rng = np.random.default_rng(20260101)
    alarms = sum(compare(*simulate(rng), gated=True).word == "fail" for _ in range(200))
    figure(f"7 the gate's false alarms in 200 reruns that differ by noise alone: {alarms}")
    assert alarms <= 10, "at alpha 0.05 the gate may raise at most 10 in 200"


def test_the_same_simulation_with_a_shift_is_an_alarm() -> None:
    rng = np.random.default_rng(20260102)
    assert sum(compare(*simulate(rng, shift=0.25), gated=True).word == "fail" for _ in range(20)) >= 19


def graded(snapshot: Snapshot, grade: Grade) -> Snapshot:
    return replace(snapshot, grades=dict.fromkeys(snapshot.outcomes, grade))


@pytest.mark.parametrize(("then", "now", "word"), [
    ("pass", "pass", "pass"), ("pass", "warn", "pass"), ("pass", "fail", "incomplete"),
    (None, "fail", "incomplete"), ("fail", "fail", "pass"), ("fail", "pass", "pass"),
])  # fmt: skip
def test_a_cell_that_cannot_be_trusted_any_more_does_not_pass(
    then: Grade | None, now: Grade, word: str
) -> None:
    run = make_snapshot("a", {"pgd 8/255": flags(60, N)})
    verdict = compare(graded(run, then) if then else run, graded(run, now), gated=True)
    assert verdict.word == word
    assert [row.trust for row in verdict.rows] == [now, None]
    assert compare(run, graded(run, now)).word == "no change shown"
    assert any(line.startswith("trust: lora/0/pgd") for line in details(verdict)) == (now == "fail")


def test_a_change_fails_whatever_its_trust() -> None:
    before = make_snapshot("a", {"pgd 8/255": flags(60, N)})
    after = graded(make_snapshot("b", {"pgd 8/255": flags(0, N)}), "fail")
    assert compare(before, after, gated=True).word == "fail"


REFERENCE = Path(__file__).parent.parent.parent / "results" / "reference" / "fgsm_pgd.json"


def retrained(reference: Snapshot, dead: str) -> Snapshot:
    """As on another machine: the models of ``reference`` trained again, and at most ``dead`` all attacks
    broken in the code."""
    header = replace(
        reference.header,
        models=tuple(replace(model, sha256="0" * 64) for model in reference.header.models),
        provenance={**reference.header.provenance, "processor": "another", "code": "d" * 64},
        origins={},
    )
    gone = {cell.key for cell in header.cells if Fraction(cell.eps) <= Fraction(dead)}
    outcomes = {
        key: replace(found, broken=np.zeros_like(found.broken) if key in gone else found.broken)
        for key, found in reference.outcomes.items()
    }
    return replace(reference, title="latest", header=header, outcomes=outcomes)


@pytest.mark.parametrize("dead", ["4/255", "8/255"])
def test_attacks_that_are_dead_at_small_eps_fail_on_every_machine(dead: str) -> None:
    reference = from_file(REFERENCE)
    verdict = compare(reference, retrained(reference, dead), gated=True)
    assert verdict.word == "fail"
    assert any(row.before < 0.35 for row in verdict.failures), (
        "these cannot fall by the 35 points of retrained models"
    )
    assert all(row.after == 0 for row in verdict.failures)
    if dead == "8/255":
        assert {
            (row.cell.attack, row.cell.library) for row in verdict.failures if isinstance(row.cell, CellId)
        } == set(product(("fgsm", "pgd-10"), ("foolbox", "art")))


def test_it_is_said_how_many_cells_could_not_have_fallen(figure: Figure) -> None:
    reference = from_file(REFERENCE)
    verdict = compare(reference, retrained(reference, "0"), gated=True)
    assert verdict.word == "pass"
    stuck = [row for row in verdict.rows if row.metric == "asr" and not row.can_fall]
    assert f"{len(stuck)} of these could not have failed by falling" in next(iter(details(verdict)))
    assert {row.cell.eps for row in stuck if isinstance(row.cell, CellId)} == {
        Fraction(n, 255) for n in (1, 2, 4)
    }
    figure(
        "8 the default suite's cells that cannot fail by falling where models are trained again:"
        f" {len(stuck)} of 72"
    )


@pytest.mark.parametrize(("left", "word"), [(15, "pass"), (7, "fail")])
def test_a_fall_that_training_again_explains_passes_and_an_attack_that_is_gone_does_not(
    left: int, word: str
) -> None:
    before = make_snapshot("a", {"pgd 8/255": flags(30, N)}, gate={"retrained_min_effect": 0.35})
    after = make_snapshot("b", {"pgd 8/255": flags(left, N)}, weights="v")
    assert compare(before, after, gated=True).word == word
    same_weights = make_snapshot("b", {"pgd 8/255": flags(left, N)}, provenance={"processor": "another"})
    assert compare(before, same_weights, gated=True).word == "fail"


bits = st.lists(st.booleans(), min_size=12, max_size=12).map(lambda found: np.array(found))


@given(bits, bits, bits, bits, st.booleans())
@settings(max_examples=60, deadline=None)
def test_comparison_is_antisymmetric(
    a: np.ndarray, b: np.ndarray, ca: np.ndarray, cb: np.ndarray, same: bool
) -> None:
    first = make_snapshot("a", {"pgd 8/255": a}, correct=ca)
    second = make_snapshot("b", {"pgd 8/255": b}, correct=cb, weights="w" if same else "v")
    there, back = compare(first, second), compare(second, first)
    assert there.exit_code == back.exit_code == EXITS[there.word]
    for row, mirrored in zip(there.rows, back.rows, strict=True):
        assert (row.gained, row.lost, row.before) == (mirrored.lost, mirrored.gained, mirrored.after)
        assert row.after - row.before == pytest.approx(row.difference, abs=1e-12)
        assert (row.p_value, row.changed) == (mirrored.p_value, mirrored.changed)


@given(bits, bits)
@settings(max_examples=30, deadline=None)
def test_reference_text_holds_the_snapshot(broken: np.ndarray, correct: np.ndarray) -> None:
    snapshot = make_snapshot("a", {"pgd 8": broken, "fgsm 1": ~broken}, correct=correct)
    back = from_text(to_text(snapshot), "a")
    assert (back.header.cells, back.header.models, back.ids) == (
        snapshot.header.cells,
        snapshot.header.models,
        snapshot.ids,
    )
    np.testing.assert_array_equal(back.labels, snapshot.labels)
    for key, outcomes in snapshot.outcomes.items():
        for name in ("seen", "correct", "broken"):
            np.testing.assert_array_equal(getattr(back.outcomes[key], name), getattr(outcomes, name))
    assert to_text(back) == to_text(snapshot)
    assert (
        from_text(to_text(graded(snapshot, "warn")), "a").grades
        == {
            "pgd 8": "warn",
            "fgsm 1": "warn",
        }
        | back.grades
    )


def random_model(title: str, right: float, weights: str) -> Snapshot:
    """Of a random model that is right on every image, and under attack so often."""
    plain = make_snapshot(title, {"pgd 8": flags(N if right < 0.5 else 0, N)}, weights=weights)
    chances = np.ones(N, np.float32), np.full(N, right, np.float32)
    return replace(
        plain,
        outcomes={k: replace(o, before=chances[0], after=chances[1]) for k, o in plain.outcomes.items()},
    )


@pytest.mark.parametrize(("now", "word"), [(0.55, "fail"), (0.595, "pass"), (0.6, "pass")])
def test_a_random_model_is_gated_by_how_often_it_is_right(now: float, word: str) -> None:
    """What it does most of the time is the same in all of these: it is never broken."""
    reference = from_text(to_text(random_model("a", 0.6, "w")), "a")
    verdict = compare(reference, random_model("b", now, "v"), gated=True)
    asr, accuracy = verdict.rows
    assert verdict.word == word
    assert (asr.before, asr.after, asr.difference) == pytest.approx((0.4, 1 - now, 0.6 - now), abs=1e-6)
    assert (asr.gained, asr.lost) == (0 if now == 0.6 else N, 0)
    assert asr.p_value == pytest.approx(1.0 if now == 0.6 else 2.0 ** (1 - N))
    assert (accuracy.before, accuracy.after, accuracy.p_value) == (1, 1, 1)


def test_where_only_the_code_differs_a_random_model_s_every_change_counts() -> None:
    assert compare(random_model("a", 0.6, "w"), random_model("b", 0.599, "w"), gated=True).word == "fail"
    assert compare(random_model("a", 0.6, "w"), random_model("b", 0.6, "w"), gated=True).word == "pass"


def test_a_reference_with_chances_that_are_none_is_refused() -> None:
    text = to_text(random_model("a", 0.6, "w"))
    half, two = (base64.b64encode(np.full(N, value, "<f4").tobytes()).decode() for value in (0.6, 2.0))
    with pytest.raises(NotComparableError, match="160 chances; 160 are due, each from 0 to 1"):
        from_text(text.replace(half, two), "a")


def test_exit_codes_are_those_of_the_contract() -> None:
    assert {
        "pass": Exit.OK, "changed": Exit.OK, "no change shown": Exit.OK, "fail": Exit(3),
        "incomplete": Exit(4)
    } == EXITS  # fmt: skip
