"""A stored run of known answers: metrics, comparisons, ranks, verdicts, curves and the printed sentences."""

import io
import json
import re
import subprocess
import sys
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bench import render
from bench.ids import ModelId
from bench.render.report import to_html
from bench.scoring.crosscheck import CrossCheck, judge
from bench.scoring.curves import fixed_budget_curve, minimum_norm_curve
from bench.scoring.metrics import metrics
from bench.scoring.score import score
from bench.scoring.scorecard import Scorecard
from bench.scoring.trust import judge_evidence
from bench.store import CellEntry, ModelEntry, StoredRun, open_run
from bench.store.evidence import Evidence
from bench.store.records import COLUMNS, Records
from tests.builders.runs import cell_entry, run_header
from tests.comparison.test_gate import rewrite

N = 200
SAMPLE = np.arange(N)
ASKED = CrossCheck(ModelId("m", 0), "pgd", Fraction(8, 255), "foolbox", "art", "one library")


def records(wrong: int, broken: np.ndarray, distance: float = 8 / 255) -> Records:
    """Class 0 everywhere; the first ``wrong`` samples are wrong when clean, ``broken`` after the attack."""
    clean = (wrong > SAMPLE).astype(np.int64)
    success = broken & (clean == 0)
    adv = np.where(success, 1, clean)
    moved = np.where(clean == 0, distance, 0).astype(np.float32)
    prob = np.full(N, 0.95, dtype=np.float32)
    adv_prob = np.where(success, 0.6, 0.95).astype(np.float32)
    ids = np.array([f"s{i:03d}" for i in range(N)])
    return Records(
        ids,
        np.zeros(N, np.int64),
        clean,
        prob,
        np.where(clean, 1 - prob, prob),
        adv,
        adv_prob,
        np.where(adv, 1 - adv_prob, adv_prob),
        success,
        moved,
        moved,
        moved,
        moved,
    )


def store(
    folder: Path, cells: dict[tuple[str, int, str, str], Records], evidence: list[Evidence] | None = None
) -> StoredRun:
    """A run with one cell for each (model, seed, library, eps), all of the attack pgd-10."""
    entries = [
        cell_entry(
            m,
            s,
            "pgd-10",
            eps,
            "linf",
            lib,
            "exact",
            f"{m}-{s}-{lib}-{i}",
            kind="pgd",
            access="white-box",
            budget="fixed",
        )
        for i, (m, s, lib, eps) in enumerate(cells)
    ]
    return stored(folder, dict(zip(entries, cells.values(), strict=True)), evidence)


def stored(
    folder: Path, cells: dict[CellEntry, Records], evidence: list[Evidence] | None = None
) -> StoredRun:
    """A run with the records of each of ``cells``."""
    models = tuple(
        ModelEntry(m, s, "lora", 1, 10, m) for m, s in dict.fromkeys((c.model, c.seed) for c in cells)
    )
    header = run_header(cells, models, N)
    run = open_run(folder, header, fresh=True)
    for entry, found in cells.items():
        run.write_cell(entry.key, found, seconds=1.0, forwards=1, backwards=1)
    if evidence is not None:
        run.write_evidence("evidence", evidence, seconds=0.25)
    run.save("complete")
    return StoredRun(run.path)


def three_models(folder: Path, evidence: list[Evidence] | None = None) -> Scorecard:
    """ "base" and "twin" differ on 3 of 200 samples, "weak" breaks on 60 more; both libraries attack each."""
    broken = {"base": SAMPLE >= 160, "twin": SAMPLE >= 163, "weak": SAMPLE >= 100}
    cells = {(m, 0, lib, "8/255"): records(4, b) for m, b in broken.items() for lib in ("foolbox", "art")}
    return score(store(folder, cells, evidence))


def test_models_that_cannot_be_told_apart_share_a_rank(tmp_path: Path) -> None:
    card = three_models(tmp_path)
    assert [(m.model.name, m.rank) for m in card.models] == [("twin", 1), ("base", 1), ("weak", 3)]
    assert [m.worst_case.count for m in card.models if m.worst_case] == [159, 156, 96]


def test_the_leaderboards_foot_answers_in_words(tmp_path: Path) -> None:
    card = three_models(tmp_path)
    assert [sentence.text for sentence in card.sentences] == [
        (
            "twin vs base, worst case 8/255: robust accuracy +1.5 points [-0.6, +3.8], p = 0.12: "
            "no difference shown (could have shown 3.9)"
        ),
        "weak vs base, worst case 8/255: robust accuracy -30.0 points [-36.2, -23.4], p < 0.001: less robust",
        "weak vs twin, worst case 8/255: robust accuracy -31.5 points [-37.8, -24.8], p < 0.001: less robust",
        (
            "twin vs base, pgd-10 8/255: ASR -1.5 points [-3.9, +0.7], p = 0.12: no difference shown (could"
            " have shown 4.0)"
        ),
        "weak vs base, pgd-10 8/255: ASR +30.6 points [+23.9, +36.9], p < 0.001: less robust",
        (
            "twin vs base, clean: accuracy +0.0 points [-2.1, +2.1], p = 1: equal on every sample (could have"
            " shown 4.5)"
        ),
        (
            "weak vs base, clean: accuracy +0.0 points [-2.1, +2.1], p = 1: equal on every sample (could have"
            " shown 4.5)"
        ),
        (
            "twin vs base, clean: certainty +0.000 [-0.014, +0.014], p = 1: equal on every sample (could have"
            " shown 0.025)"
        ),
        (
            "weak vs base, clean: certainty +0.000 [-0.014, +0.014], p = 1: equal on every sample (could have"
            " shown 0.025)"
        ),
        (
            "twin vs base, pgd-10 8/255: certainty +0.005 [-0.001, +0.011], p = 0.42: no difference shown"
            " (could have shown 0.011)"
        ),
        "weak vs base, pgd-10 8/255: certainty -0.105 [-0.127, -0.083], p < 0.001: lower",
    ]


def test_success_is_compared_on_samples_that_both_models_get_right(tmp_path: Path) -> None:
    cells = {
        ("a", 0, "art", "8/255"): records(0, SAMPLE >= 150),
        ("b", 0, "art", "8/255"): records(100, SAMPLE >= 150),
    }
    (comparison,) = score(store(tmp_path, cells)).comparisons
    assert (comparison.robust.first, comparison.robust.second) == (0.25, 0.75)
    assert (comparison.asr.n, comparison.asr.first, comparison.asr.second) == (100, 0.5, 0.5)


def test_both_libraries_count_as_one_attacker(tmp_path: Path) -> None:
    cells = {
        ("a", 0, "foolbox", "8/255"): records(0, SAMPLE < 20),
        ("a", 0, "art", "8/255"): records(0, (SAMPLE >= 10) & (SAMPLE < 40)),
    }
    card = score(store(tmp_path, cells))
    assert card.attacks[0].asr.count == 40
    assert card.models[0].worst_case is not None
    assert card.models[0].worst_case.count == 160


def test_a_differing_exact_pair_names_samples_stronger_library_and_cause() -> None:
    foolbox, art = records(0, SAMPLE < 30, 0.02), records(0, SAMPLE < 40, 0.03)
    found = judge(ASKED, "exact", "linf", foolbox, art)
    assert (found.verdict, found.stronger, found.agreement) == ("differ", "art", 0.95)
    assert found.samples == tuple(f"s{i:03d}" for i in range(30, 40))
    assert found.cause == "foolbox spends less of the budget: mean linf 0.02 against 0.03"


@pytest.mark.parametrize(
    ("pairing", "apart", "verdict", "equivalent"),
    [
        ("exact", 1, "agree", True),
        ("exact", 2, "differ", False),
        ("statistical", 0, "agree", True),
        ("statistical", 3, "undecided", False),
        ("statistical", 12, "differ", False),
        ("related", 12, "not comparable", False),
    ],
)
def test_the_verdict_follows_the_contract(pairing: str, apart: int, verdict: str, equivalent: bool) -> None:
    more = 100 + apart
    found = judge(ASKED, pairing, "linf", records(0, SAMPLE < 100), records(0, more > SAMPLE))
    assert (found.verdict, found.equivalent) == (verdict, equivalent)


@pytest.mark.parametrize(
    ("n", "foolbox", "art", "verdict"),
    [
        (40, 20, 15, "undecided"),  # 12.5 points apart: neither the same nor, at 5 %, different
        (40, 20, 20, "undecided"),  # the same outcomes, and too few to say that the rates are
        (200, 100, 100, "agree"),
        (200, 100, 88, "differ"),
    ],
)
def test_a_statistical_pair_agrees_only_where_the_interval_shows_it(
    n: int, foolbox: int, art: int, verdict: str
) -> None:
    found = judge(
        ASKED, "statistical", "linf", records(N - n, N - foolbox <= SAMPLE), records(N - n, N - art <= SAMPLE)
    )
    assert found.verdict == verdict
    assert found.gap_low is not None
    assert found.gap_high is not None
    assert (found.gap_low >= -0.02 and found.gap_high <= 0.02) == (verdict == "agree")


@pytest.mark.parametrize("pairing", ["exact", "statistical"])
@pytest.mark.parametrize(
    ("foolbox", "art", "verdict", "stronger"), [(0.502, 0.498, "agree", None), (0.9, 0.6, "differ", "art")]
)
def test_a_random_model_is_cross_checked_by_how_often_it_is_right(
    foolbox: float, art: float, verdict: str, stronger: str | None, pairing: str
) -> None:
    """In the first case what it does most of the time is the opposite on every sample, in the second the
    same on all."""
    right = {"foolbox": foolbox, "art": art}
    ones = np.ones(N, np.float32)
    both = [
        replace(
            records(0, np.full(N, often < 0.5)),
            clean_right=ones,
            adv_right=ones * often,
            adv_choice=ones * often,
        )
        for often in right.values()
    ]
    found = judge(ASKED, pairing, "linf", *both)
    assert (found.verdict, found.stronger) == (verdict, stronger)
    assert [found.asr_first, found.asr_second] == pytest.approx([1 - foolbox, 1 - art])
    assert found.agreement == pytest.approx(1 - (foolbox - art))
    assert found.p_value == pytest.approx(2.0 ** (1 - N)), "all differences have one sign"


def test_agreement_is_over_the_samples_that_were_attacked() -> None:
    found = judge(ASKED, "exact", "linf", records(150, SAMPLE >= 180), records(150, SAMPLE >= 185))
    assert (found.agreement, found.verdict) == (0.9, "differ")


def nothing_right(folder: Path) -> StoredRun:
    """Two models: of "base" every sample is predicted wrongly before any attack."""
    return store(
        folder,
        {
            (m, 0, lib, "8/255"): records(N if m == "base" else 0, SAMPLE < 50)
            for m in ("base", "lora")
            for lib in ("foolbox", "art")
        },
    )


def test_of_nothing_attacked_nothing_is_said(tmp_path: Path) -> None:
    run = nothing_right(tmp_path)
    card = score(run)
    base = card.crosschecks[0]
    assert (base.verdict, base.agreement, base.asr_first, base.p_value) == (
        "not comparable",
        None,
        None,
        None,
    )
    said = [
        render.to_json(card),
        render.to_csv(card),
        render.to_markdown(card),
        shown(card, 140),
        to_html(card, run.header, None),
    ]
    for text in said:
        assert not re.search(r"\bnan\b", text, re.IGNORECASE)
    assert "base has no rank: its strongest attack, pgd-10, fails samples" in said[3]


def test_models_that_get_no_sample_both_right_have_no_success_to_compare(tmp_path: Path) -> None:
    first = records(100, SAMPLE >= 150)
    flipped = {name: getattr(first, name)[::-1] for name in COLUMNS if name != "id"}
    card = score(
        store(
            tmp_path, {("a", 0, "art", "8/255"): first, ("b", 0, "art", "8/255"): replace(first, **flipped)}
        )
    )
    assert "b vs a, pgd-10 8/255: ASR cannot be compared: no sample that both get right" in [
        s.text for s in card.sentences
    ]
    assert json.loads(render.to_json(card))["comparisons"][1]["asr"]["difference"] is None


def test_metrics_by_hand() -> None:
    found = metrics(records(20, SAMPLE >= 150))
    assert (found.accuracy.value, found.robust_accuracy.value, found.asr.value) == (0.9, 0.65, 50 / 180)
    assert (found.certainty_broken, found.certainty_broken_adv) == pytest.approx((0.95, 0.6))
    assert (found.certainty_held, found.certainty_held_adv) == pytest.approx((0.95, 0.95))
    assert (found.confident_errors, found.confident_errors_adv) == (0.1, 0.1)
    assert found.ece == pytest.approx(0.05)
    assert found.ece_adv == pytest.approx((50 * 0.6 + abs(150 * 0.95 - 130)) / 200)
    assert found.distances["linf"].median == pytest.approx(8 / 255)


def test_curves_by_hand() -> None:
    fixed = fixed_budget_curve(1.0, [1, 2], [0.6, 0.2])
    assert fixed.area == pytest.approx((0.8 + 0.4) / 2)
    assert fixed.median == pytest.approx(1.25)
    free = minimum_norm_curve(
        np.array([True, True, True, False]), np.array([0.5, 1.5, np.inf, 0], dtype=np.float32), [1, 2]
    )
    assert free.robust == (0.75, 0.5, 0.25)
    assert free.area == pytest.approx((0.5 + 1.5 + 2 + 0) / 4 / 2)
    assert free.median == 1.5


def test_a_minimum_norm_attack_is_scored_by_the_distances_that_it_found(tmp_path: Path) -> None:
    """Half of the samples are broken nearer than the largest eps; some others farther away, some never."""
    distance = np.where(SAMPLE < 150, (SAMPLE + 1) / 100, np.inf).astype(np.float32)
    cells = {}
    for eps in ("1/2", "1"):
        broken = distance <= float(Fraction(eps))
        cells["a", 0, "art", eps] = replace(records(0, broken, 0.25), distance=distance)
    run = store(tmp_path, cells)
    rewrite(run.path / "run.json", cells=[{**asdict(c), "budget": "minimum-norm"} for c in run.header.cells])
    card = score(StoredRun(run.path))
    (curve,) = card.curves
    assert curve.curve.robust == (1.0, *(c.metrics.robust_accuracy.value for c in card.cells if c.metrics))
    assert curve.curve.median == pytest.approx(1.005), (
        "half way between the 100th and the 101st, both beyond the largest eps"
    )
    assert curve.curve.area == pytest.approx((sum(range(1, 101)) / 100 + 100) / N)
    assert "1.005" in shown(card, 80)


@pytest.mark.parametrize(
    ("access", "grades"), [("white-box", ["fail"]), ("score", ["fail"]), ("decision", [])]
)
def test_only_an_attack_on_labels_may_leave_every_sample_as_it_was(
    access: str, grades: list[str], tmp_path: Path
) -> None:
    run = store(tmp_path, {("a", 0, "art", "8/255"): records(0, SAMPLE < 0, 0.0)})
    rewrite(run.path / "run.json", cells=[{**asdict(c), "access": access} for c in run.header.cells])
    (cell,) = score(StoredRun(run.path)).cells
    assert cell.trust is not None
    assert [f.grade for f in cell.trust.findings if f.check == "budget"] == grades


def test_many_comparisons_are_summed_up(tmp_path: Path) -> None:
    broken = {f"m{i}": 160 - 50 * (i == 1) - 50 * (i == 2) <= SAMPLE for i in range(5)}
    text = " ".join(
        shown(
            score(store(tmp_path, {(m, 0, "art", "8/255"): records(0, b) for m, b in broken.items()})), 140
        ).split()
    )
    assert "m1 vs m0, worst case 8/255: robust accuracy -25.0 points" in text
    assert "m2 vs m1, worst case" not in text
    assert (
        "and 16 comparisons that show no difference, 4 between other models: --format md lists them" in text
    )


def test_attacks_with_the_same_finding_are_flagged_together(tmp_path: Path) -> None:
    (flag,) = [f for f in three_models(tmp_path, [seen("gradients", 1.0)]).flags if f.check == "gradients"]
    assert (flag.grade, flag.where, flag.cells, flag.detail) == ("fail", "base pgd-10", 2, "what was seen")


def seen(check: str, value: float, **about: str) -> Evidence:
    return Evidence(check, "base", 0, about.get("attack"), about.get("library"), value, 32, "what was seen")


def test_a_failed_cell_cannot_rank_and_is_marked_everywhere(tmp_path: Path) -> None:
    card = three_models(tmp_path, [seen("gradients", 1.0)])
    assert [(m.model.name, m.rank, m.trust) for m in card.models] == [
        ("twin", 1, "unchecked"),
        ("weak", 2, "unchecked"),
        ("base", None, "fail"),
    ]
    cells = json.loads(render.to_json(card))["cells"]
    assert [c["trust"] for c in cells] == ["fail"] * 2 + ["unchecked"] * 4
    assert {"check": "gradients", "grade": "fail", "detail": "what was seen"} in cells[0]["findings"]
    assert "78.0 [72, 83]✗" in render.to_markdown(card)
    assert "gradients" in shown(card, 80)


def test_what_the_checks_cost_is_stored_and_said(tmp_path: Path) -> None:
    card = three_models(tmp_path, [seen("deterministic", 0.0)])
    assert card.trust_cost == 0.25 / 6, "a quarter of a second, beside six cells of one"
    assert json.loads(render.to_json(card))["trust_cost"] == pytest.approx(card.trust_cost)
    assert "the checks took 4 % of the attacks' time" in " ".join(shown(card, 80).split())


def test_evidence_of_one_attack_and_library_stands_for_that_attack(tmp_path: Path) -> None:
    card = three_models(
        tmp_path, [seen("deterministic", 0.0), seen("unconstrained", 0.5, attack="pgd-10", library="foolbox")]
    )
    assert [c.trust.grade for c in card.cells if c.trust and c.entry.model == "base"] == ["fail", "fail"]


def test_a_few_samples_over_a_limit_are_not_held_against_an_attack() -> None:
    found = [
        Evidence("silent-success", "m", 0, "pgd", "art", count / n, n)
        for count, n in ((1, 11), (3, 14), (8, 32))
    ]
    assert [finding.grade for finding in judge_evidence(found)] == ["pass", "warn", "fail"]


@pytest.mark.parametrize(
    ("check", "value", "n", "grade"),
    [
        ("incomplete-optimisation", 0.0, 4, "unchecked"), ("incomplete-optimisation", 1.0, 4, "unchecked"),
        ("incomplete-optimisation", 0.0, 5, "pass"), ("incomplete-optimisation", 1.0, 500, "warn"),
        ("more-steps", 0.0, 2, "unchecked"), ("more-steps", 0.0, 3, "pass"), ("more-steps", 1.0, 300, "warn"),
        ("unconstrained", 0.0, 2, "unchecked"), ("unconstrained", 0.0, 3, "pass"),
        ("unconstrained", 1.0, 3, "fail"), ("binarisation", 0.5, 2, "unchecked"),
        ("binarisation", 1.0, 2, "unchecked"), ("binarisation", 0.0, 2, "fail"),
        ("binarisation", 1.0, 3, "pass"), ("binarisation", 1 / 3, 3, "fail"),
        ("binarisation", 0.0, 0, "unchecked"),
        ("rounding", 0.0, 2, "unchecked"), ("rounding", 0.0, 3, "pass"), ("classes", 0, 2, "pass"),
    ],
)  # fmt: skip
def test_what_could_not_have_failed_has_not_passed(check: str, value: float, n: int, grade: str) -> None:
    (finding,) = judge_evidence([Evidence(check, "m", 0, "pgd", "art", value, n)])
    assert finding.grade == grade


@pytest.mark.parametrize(("n", "grade"), [(0, "unchecked"), (2, "unchecked"), (3, "pass")])
def test_noise_on_two_samples_says_nothing(n: int, grade: str, tmp_path: Path) -> None:
    noise = Evidence("noise-linf", "base", 0, None, None, 0.0, n, "", (), Fraction(8, 255))
    cell = three_models(tmp_path, [noise]).cells[0]
    assert cell.trust is not None
    assert [f.grade for f in cell.trust.findings if f.check == "noise"] == [grade]
    assert cell.trust.grade == grade, "no other check of the attack was made"


def test_the_leaderboard_says_what_was_not_checked(tmp_path: Path) -> None:
    few = [
        Evidence(check, "base", 0, "pgd-10", "art", v, n)
        for check, v, n in (("more-steps", 0, 8), ("binarisation", 1, 2))
    ]
    card = three_models(tmp_path, few)
    assert [c.trust.grade for c in card.cells if c.trust] == ["unchecked"] * 6, (
        "not being able to fail is no pass"
    )
    said = "trust of 6 cells: 6 unchecked (?); not checked for lack of samples: binarisation (2 cells)"
    assert said in " ".join(shown(card, 80).split())
    assert said in render.to_markdown(card)


def test_noise_that_breaks_what_the_attack_does_not_fails_it(tmp_path: Path) -> None:
    noise = Evidence(
        "noise-linf", "base", 0, None, None, 1.0, 3, "", ("s010", "s011", "s199"), Fraction(8, 255)
    )
    (finding,) = [f for f in three_models(tmp_path, [noise]).cells[0].trust.findings if f.check == "noise"]  # type: ignore[union-attr]
    assert (finding.grade, finding.detail) == (
        "fail",
        "random noise breaks 2 of 3 samples that the attack does not",
    )


def test_success_that_falls_with_a_larger_budget_fails(tmp_path: Path) -> None:
    cells = {
        ("a", 0, "art", "4/255"): records(0, SAMPLE < 60, 4 / 255),
        ("a", 0, "art", "8/255"): records(0, SAMPLE < 30),
    }
    small, large = score(store(tmp_path, cells)).cells
    assert small.trust is not None
    assert large.trust is not None
    assert [f.check for f in large.trust.findings if f.grade == "fail"] == ["more-budget"]
    assert small.trust.grade == "unchecked"


def test_an_adversarial_outside_its_budget_is_no_result(tmp_path: Path) -> None:
    (cell,) = score(store(tmp_path, {("a", 0, "art", "4/255"): records(0, SAMPLE < 60, 5 / 255)})).cells
    assert cell.entry.status == "error"
    assert "its columns disagree: linf is above eps (200 of 200 rows, like s000)" in (cell.entry.error or "")


@pytest.mark.parametrize("width", [80, 140])
def test_the_leaderboard_keeps_to_its_width(tmp_path: Path, width: int) -> None:
    text = shown(three_models(tmp_path, [seen("gradients", 1.0)]), width)
    assert max(map(len, text.splitlines())) <= width
    assert "equal on every sample" in " ".join(text.split())


def shown(card: Scorecard, width: int) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(render.leaderboard(card, width))
    return console.export_text()


def test_scoring_imports_no_torch() -> None:
    code = "import sys, bench.scoring.scorecard, bench.render; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_run_without_evidence_is_unchecked(tmp_path: Path) -> None:
    assert {c.trust.grade for c in three_models(tmp_path).cells if c.trust} == {"unchecked"}
