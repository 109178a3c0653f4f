"""Statistics against reference implementations, and simulations whose truth is known."""

import math
from fractions import Fraction
from unittest.mock import ANY

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import stdtrit
from scipy.stats import binom, binomtest, bootstrap, ttest_1samp, ttest_ind, ttest_rel
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from bench.eps import eps_text
from bench.ids import AttackEps, ModelId
from bench.scoring.comparison import Outcome, compare_models, over_family, paired
from bench.scoring.statistics import (
    Table,
    _critical,
    across_seeds,
    at_most,
    beats,
    calibration_error,
    holm,
    lower_bound,
    mcnemar,
    mean_difference,
    mid_p,
    minimum_detectable,
    needed_discordant,
    paired_interval,
    proportion,
)
from tests.benchmarks.paired import grid, procedures

COUNTS = st.integers(0, 400)


@given(COUNTS, COUNTS)
def test_wilson_is_statsmodels(count: int, others: int) -> None:
    n = count + others
    if n:
        found = proportion(count, n)
        assert (found.low, found.high) == pytest.approx(
            proportion_confint(count, n, method="wilson"), abs=1e-12
        )


@given(COUNTS, COUNTS)
def test_mcnemar_is_statsmodels(only_first: int, only_second: int) -> None:
    expected = reference_mcnemar([[0, only_first], [only_second, 0]], exact=True).pvalue
    if only_first + only_second:
        assert mcnemar(only_first, only_second) == pytest.approx(expected, abs=1e-12)


@given(COUNTS, COUNTS)
def test_mid_p_counts_half_of_what_was_seen(only_first: int, only_second: int) -> None:
    n, fewer = only_first + only_second, min(only_first, only_second)
    expected = 2 * binom.cdf(fewer, n, 0.5) - binom.pmf(fewer, n, 0.5)  # Fagerland et al. 2013, equation 9
    assert mid_p(only_first, only_second) == pytest.approx(1 if 2 * fewer == n else expected, abs=1e-12)
    assert mid_p(only_first, only_second) <= mcnemar(only_first, only_second)


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 3, 0.05 / 36])
@pytest.mark.parametrize("n", [30, 50, 150, 1000])
def test_false_alarms_of_mid_p_stay_at_the_level(n: int, alpha: float) -> None:
    """Exact, over every share of discordant samples up to a half: what two equal models without
    correlation have at most."""
    counts = np.arange(n + 1)
    alarm = np.array(
        [
            2 * binom.sf(c - 1, d, 0.5) if d else 0
            for d, c in zip(counts, _critical(counts, alpha), strict=True)
        ]
    )
    sizes = [binom.pmf(counts, n, share) @ alarm for share in np.linspace(0.01, 0.5, 50)]
    assert 0.75 * alpha < max(sizes) <= 1.02 * alpha


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_holm_is_statsmodels(size: int) -> None:
    p_values = list(np.random.default_rng(size).random(size) ** 4)
    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]), abs=1e-12)


def test_holm_with_weights_by_hand() -> None:
    assert holm([0.02, 0.001, 0.3], [4, 1, 1]) == pytest.approx([0.02 * 5 / 4, 0.001 * 6, 0.3])
    assert holm([0.02, 0.001, 0.3], [1, 1, 1]) == holm([0.02, 0.001, 0.3])


@given(COUNTS, COUNTS)
def test_one_sided_tests_are_scipy(wins: int, losses: int) -> None:
    if wins + losses:
        assert beats(wins, losses) == pytest.approx(
            binomtest(wins, wins + losses, alternative="greater").pvalue, abs=1e-12
        )
        less = binomtest(wins, wins + losses, 0.95, alternative="less").pvalue
        assert at_most(wins, wins + losses, 0.95) == pytest.approx(less, abs=1e-12)


def test_there_are_no_fewer_than_none() -> None:
    assert (at_most(-1, 5, 0.05), at_most(-1, 0, 0.05), at_most(0, 0, 0.95), beats(0, 0)) == (0, 0, 1, 1)


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 36, 0.5**9, 0.05 / 2250])
def test_the_critical_count_is_the_tests_own(alpha: float) -> None:
    discordant = np.array([*range(80), 1000, 5001])
    for d, critical in zip(discordant.tolist(), _critical(discordant, alpha).tolist(), strict=True):
        assert critical == next((m for m in range(d // 2 + 1, d + 1) if mid_p(m, d - m) <= alpha), d + 1)


def test_paired_interval_is_newcombes_example() -> None:
    assert paired_interval(36, 12, 2, 0) == pytest.approx(
        (0.0569, 0.3404), abs=5e-5
    )  # Newcombe 1998, table II, method 10


def test_paired_interval_is_close_to_the_bootstrap_where_that_works() -> None:
    counts = (700, 160, 90, 50)
    first, second = np.repeat([1, 1, 0, 0], counts), np.repeat([1, 0, 1, 0], counts)
    rng = np.random.default_rng(0)
    expected = bootstrap(
        (first - second,), np.mean, n_resamples=4000, method="percentile", rng=rng
    ).confidence_interval
    assert paired_interval(*counts) == pytest.approx((expected.low, expected.high), abs=0.002)


def test_paired_interval_stays_open_where_the_bootstrap_collapses() -> None:
    low, high = paired_interval(100, 0, 0, 60)
    assert low < -0.01
    assert high > 0.01


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_paired_interval_holds_the_difference_and_is_antisymmetric(a: int, b: int, c: int, d: int) -> None:
    if a + b + c + d:
        low, high = paired_interval(a, b, c, d)
        assert -1 <= low <= (b - c) / (a + b + c + d) + 1e-12
        assert (b - c) / (a + b + c + d) - 1e-12 <= high <= 1
        assert paired_interval(a, c, b, d) == pytest.approx((-high, -low), abs=1e-12)


def test_needed_discordant_is_the_least_that_can_be_significant() -> None:
    assert needed_discordant(0.05) == 5
    for alpha in (0.05, 0.01, 0.05 / 36, 0.5**9):
        n = needed_discordant(alpha)
        assert mid_p(n, 0) <= alpha < mid_p(n - 1, 0)


@pytest.mark.parametrize(
    ("n", "discordant", "alpha"),
    [
        (125, 8, 0.05 / 36), (125, 4, 0.05 / 36), (125, 30, 0.05 / 36), (125, 0, 0.05), (125, 60, 0.05),
        (10, 1, 0.05), (1000, 60, 0.05), (1000, 300, 0.05 / 36), (10_000, 5000, 0.05 / 2250),
    ],
)  # fmt: skip
def test_power_is_as_stated_at_the_minimum_detectable_effect(n: int, discordant: int, alpha: float) -> None:
    """Samples are drawn anew, so that the number of discordant ones varies too."""
    rng, draws = np.random.default_rng(1), 10_000
    gap = minimum_detectable(n, discordant, alpha)
    share = max(discordant / n, gap)
    counts = rng.binomial(n, share, draws)
    wins = rng.binomial(counts, (1 + gap / share) / 2)
    found = {
        (w, d): w > d - w and mid_p(w, d - w) <= alpha
        for w, d in set(zip(wins.tolist(), counts.tolist(), strict=True))
    }
    power = np.mean([found[pair] for pair in zip(wins.tolist(), counts.tolist(), strict=True)])
    assert power == pytest.approx(0.8, abs=3 * math.sqrt(0.8 * 0.2 / draws))


def test_too_few_samples_can_show_no_difference() -> None:
    assert math.isnan(minimum_detectable(4, 2, 0.05))
    assert math.isnan(minimum_detectable(0, 0, 0.05))
    assert minimum_detectable(5, 0, 0.05) == pytest.approx(0.8 ** (1 / 5)), "all five must be on one side"


def test_false_alarms_stay_under_5_percent_alone_and_over_a_family() -> None:
    """2,000 pairs of equally robust models, correlated by sample, alone; and 200 families of 10 of them."""
    rng = np.random.default_rng(2)
    ease = rng.random((2000, 300))
    pairs = [paired(rng.random(300) < row, rng.random(300) < row) for row in ease]
    assert np.mean([pair.p_value <= 0.05 for pair in pairs]) <= 0.05
    families = [over_family(pairs[i : i + 10]) for i in range(0, len(pairs), 10)]
    assert np.mean([any(pair.shown for pair in family) for family in families]) <= 0.05


def test_the_headline_has_four_fifths_of_its_familys_level() -> None:
    """Two models at five eps, of which one is the headline: 1 and 4 of 5 shares of a cell's level."""
    a, b = ModelId("a", 0), ModelId("b", 0)
    right = np.ones(100, dtype=bool)
    first = {AttackEps("pgd", Fraction(e, 255)): Outcome(right, np.arange(100) < 10 + e) for e in range(1, 6)}
    second = {cell: Outcome(right, np.arange(100) < 10) for cell in first}
    found = compare_models({b: second, a: first}, across=False, headline=Fraction(5, 255))
    p = {eps_text(c.eps): c.asr.p_value for c in found}
    assert p["5/255"] == 0.5**5
    assert {eps_text(c.eps): c.asr.p_adjusted for c in found} == {
        "5/255": p["5/255"] * 5 / 4,
        **dict.fromkeys(list(p)[:4], ANY),
    }
    assert next(c.asr.p_adjusted for c in found if c.eps == Fraction(4, 255)) == p["4/255"] * 4
    assert [c.asr.shown for c in found] == [False] * 4 + [True]
    alone = compare_models({b: second, a: first}, across=False, headline=Fraction(9, 255))
    assert [c.asr.p_adjusted for c in alone][-1] == p["5/255"] * 5


def test_family_wise_error_stays_at_the_level_over_a_grid() -> None:
    """Three equal models, two attacks and six eps, drawn 150 times: worst cases and all 36 cells."""
    rng = np.random.default_rng(10)
    families = [dict(procedures(grid(rng, 100, 0)))["shipped"] for _ in range(150)]
    assert np.mean([any(f.worst) for f in families]) <= 0.05 + 0.036  # two standard errors
    assert np.mean([any(f.headline + f.others) for f in families]) <= 0.05 + 0.036


@pytest.mark.parametrize("n", [50, 150, 500])
def test_interval_and_p_value_say_the_same(n: int) -> None:
    """On 1,000 tables; by the exact test they contradict each other on one in 16 of 50 samples."""
    rng = np.random.default_rng(11)
    apart = rng.uniform(0.02, 0.35, 1000)
    gap = rng.uniform(-1, 1, 1000) * np.minimum(apart, 0.15)
    shares = np.stack([(1 - apart) * 0.6, (apart + gap) / 2, (apart - gap) / 2, (1 - apart) * 0.4], axis=1)
    tables = [tuple(map(int, rng.multinomial(n, row))) for row in shares]
    intervals = [paired_interval(*table) for table in tables]
    same = [
        (mid_p(b, c) <= 0.05) == (low > 0 or high < 0)
        for (_, b, c, _), (low, high) in zip(tables, intervals, strict=True)
    ]
    assert np.mean(same) >= 0.99


def test_paired_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(3)
    tables = rng.multinomial(160, (0.55, 0.15, 0.08, 0.22), size=2000)
    covered = [low <= 0.07 <= high for low, high in (paired_interval(*map(int, table)) for table in tables)]
    assert 0.94 <= np.mean(covered) <= 0.99


@pytest.mark.parametrize(
    ("n", "shares", "bootstrap_covers"),
    [
        (125, (0.5, 0.2, 0.08, 0.22), True),
        (125, (0.8, 0.02, 0, 0.18), False),
        (50, (0.9, 0.05, 0.01, 0.04), False),
    ],
)
def test_paired_interval_covers_where_the_bootstrap_does_not(
    n: int, shares: tuple[float, ...], bootstrap_covers: bool
) -> None:
    """Why it is not the bootstrap's: with few samples that tell two models apart, that one misses the
    truth too often."""
    rng, truth = np.random.default_rng(8), shares[1] - shares[2]
    newcombe, percentile = [], []
    for table in rng.multinomial(n, shares, size=500):
        low, high = paired_interval(*map(int, table))
        newcombe.append(low <= truth <= high)
        again = rng.multinomial(n, table / n, size=1000)
        low, high = np.percentile((again[:, 1] - again[:, 2]) / n, [2.5, 97.5])
        percentile.append(low - 1e-12 <= truth <= high + 1e-12)
    assert np.mean(newcombe) >= 0.93
    assert (np.mean(percentile) >= 0.93) == bootstrap_covers


def test_interval_over_seeds_covers_the_truth_with_training_variation() -> None:
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(400):
        ease, training = rng.beta(4, 2, 200), rng.normal(0, 0.05, (5, 1))
        found = across_seeds((rng.random((5, 200)) < (ease + training).clip(0, 1)).astype(float))
        covered += found.low <= 0.664 <= found.high  # 2/3, less what clipping at 1 takes
    assert covered / 400 >= 0.95


def test_across_seeds_by_hand() -> None:
    found = across_seeds(np.array([[1.0, 1, 0, 0], [1, 0, 0, 0]]))
    assert (found.mean, found.spread) == pytest.approx((0.375, math.sqrt(0.03125)))
    by_seed, by_sample, rest = 4 * 0.03125, 2 * np.var([1, 0.5, 0, 0], ddof=1), 0.375 / 3
    total = by_seed + by_sample - rest
    share, n = by_seed / total, 0.375 * 0.625 / (total / 8)
    t2 = stdtrit(1 / (share + (1 - share) / 3), 0.975) ** 2
    half = math.sqrt(t2 * (0.375 * 0.625 / n + t2 / (4 * n * n))) / (1 + t2 / n)
    centre = (0.375 + t2 / (2 * n)) / (1 + t2 / n)
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half))


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_answers_that_are_all_the_same_are_so_many_samples(right: float) -> None:
    found, one = across_seeds(np.full((3, 50), right)), proportion(50 * int(right), 50)
    assert (found.mean, found.low, found.high) == pytest.approx(
        (right, one.low, one.high), abs=0.004
    )  # by t, not z


def test_over_seeds_is_the_two_sample_t_test_where_samples_do_not_vary() -> None:
    rows = np.random.default_rng(5).normal(0.1, 0.1, (2, 6))
    found, expected = (
        mean_difference(rows[0][:, None].repeat(50, 1), rows[1][:, None].repeat(50, 1)),
        ttest_ind(*rows),
    )
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()), abs=1e-12)


def test_over_seeds_is_the_paired_t_test_where_trainings_do_not_vary() -> None:
    rows = np.random.default_rng(5).random((2, 50))
    found, expected = mean_difference(np.tile(rows[0], (3, 1)), np.tile(rows[1], (3, 1))), ttest_rel(*rows)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()), abs=1e-12)


def test_over_seeds_is_the_one_sample_t_test_where_only_one_method_is_trained() -> None:
    rows, other = np.random.default_rng(5).normal(0.1, 0.1, 6), np.zeros((6, 50))
    found, expected = mean_difference(rows[:, None].repeat(50, 1), other), ttest_1samp(rows, 0)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()), abs=1e-12)


@pytest.mark.parametrize("seeds", [1, 2, 5])
@pytest.mark.parametrize("shares", [True, False])
def test_equal_models_do_not_differ_whatever_they_are(seeds: int, shares: bool) -> None:
    table = np.random.default_rng(0).random((seeds, 150))
    table = (table < 0.7).astype(float) if shares else table
    found = mean_difference(table, table)
    assert (found.difference, found.p_value) == (0, 1)
    assert -0.025 < found.low == -found.high < 0
    assert 0.01 < found.detectable < 0.05


def test_what_only_some_trainings_count_weighs_by_training() -> None:
    """Each training's share is of its own samples; twice the same sample is no more than once."""
    some = np.array([[1.0, 0, 1, np.nan, np.nan], [1, 1, np.nan, 0, np.nan]])
    found = mean_difference(some, np.zeros((2, 5)))
    assert found.difference == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert mean_difference(some[:, :4], np.zeros((2, 4))) == found, "a sample that none counts is none"
    assert not math.isnan(found.p_value)


def trained(rng: np.random.Generator, ease: Table) -> Table:
    """One method at 4 seeds on 160 samples: robustness varies by sample and, by some points, by training."""
    return (rng.random((4, 160)) < (ease + rng.normal(0, 0.08, (4, 1))).clip(0, 1)).astype(float)


def test_methods_that_differ_by_training_variation_alone_are_not_told_apart() -> None:
    """1,000 pairs of equal methods: over seeds 5 % alarms; one network each gives several times as many."""
    rng = np.random.default_rng(6)
    over, single = 0, 0
    for _ in range(1000):
        ease = rng.beta(1, 1, 160)
        first, second = trained(rng, ease), trained(rng, ease)
        over += mean_difference(first, second).p_value <= 0.05
        single += paired(first[0] > 0, second[0] > 0).shown
    assert 30 <= over <= 62  # of 1,000 at .05, 62 or more happen in one of 20 tries
    assert single >= 100


@pytest.mark.parametrize(
    ("seeds", "training", "least"), [(2, 0, 0.27), (2, 0.03, 0.2), (3, 0, 0.68), (3, 0.03, 0.41)]
)
def test_ten_points_are_found_over_few_trainings(seeds: int, training: float, least: float) -> None:
    """150 samples; at a false alarm rate that stays below 6 %.

    By t tests over the seeds' means it is .0 to .16.
    """
    rng = np.random.default_rng(8)
    found, alarms = 0, 0
    for _ in range(600):
        ease, moved = rng.beta(1, 1, 150), rng.normal(0, training, (3, seeds, 1))
        first, equal, worse = (
            rng.random((3, seeds, 150)) < (ease + moved - np.array([0, 0, 0.1])[:, None, None])
        ) * 1.0
        found += mean_difference(first, worse).p_value <= 0.05
        alarms += mean_difference(first, equal).p_value <= 0.05
    assert found / 600 >= least
    assert alarms / 600 <= 0.055 + 0.018  # two standard errors


@pytest.mark.parametrize(("seeds", "level"), [(2, 0.05), (4, 0.05), (4, 0.05 / 12)])
def test_power_over_seeds_is_as_stated(seeds: int, level: float) -> None:
    rng, n, training = np.random.default_rng(7), 40, 0.01
    known: Table = np.arange(seeds, dtype=np.float64) - (seeds - 1) / 2
    known *= training / known.std(ddof=1)
    rows, noise = (
        known[:, None].repeat(n, 1),
        np.where(np.arange(n) % 2, 1e-9, -1e-9),
    )  # so that not all are equal
    gap = mean_difference(rows + noise, rows, level).detectable
    tables = np.repeat(rng.normal(0, training, (2000, 2, seeds, 1)), n, axis=3)
    assert gap < 1, "else it is cut, and the power is another"
    power = np.mean([mean_difference(first + gap, second).p_value <= level for first, second in tables])
    assert power == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(("seeds", "n"), [(1, 125), (3, 125), (5, 500)])
def test_power_of_t_tests_is_as_stated_where_samples_vary_too(seeds: int, n: int) -> None:
    """At the mean error of many tables."""
    rng, level, draws = np.random.default_rng(9), 0.05 / 8, 1000
    training = 0.02 * (seeds > 1)
    tables = (
        rng.normal(0, training, (draws, 2, seeds, 1))
        + rng.normal(0, 0.14, (draws, 2, 1, n))
        + rng.normal(0, 0.07, (draws, 2, seeds, n))
    )
    gap = math.sqrt(
        np.mean([mean_difference(first, second, level).detectable ** 2 for first, second in tables])
    )
    power = np.mean([mean_difference(first + gap, second).p_value <= level for first, second in tables])
    assert power == pytest.approx(0.8, abs=0.03 if seeds == 1 else 0.06)


def test_lower_bound_is_scipys() -> None:
    values = [0.02, 0.01, 0.25, 0.03]
    expected = ttest_1samp(values, 0, alternative="greater").confidence_interval(0.95).low
    assert lower_bound([v + 1 for v in values]) == pytest.approx(expected + 1, abs=1e-12)
    assert (lower_bound(values), lower_bound([0.3])) == (0.0, 0.0)


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.9, 0.9, 0.6, 1.0], dtype=np.float32)
    correct = np.array([True, False, True, True])
    assert calibration_error(confidence, correct) == pytest.approx(
        (abs(1.8 - 1) + abs(0.6 - 1) + 0) / 4, abs=1e-7
    )
