"""The sign-flip test against McNemar's, which is its case of 0 and 1, and against all signs written out."""

from itertools import product

import numpy as np
import pytest

from bench.scoring.chances import mean_chance, success_rate
from bench.scoring.comparison import Outcome, paired, paired_chances
from bench.scoring.sign_flip import sign_flip
from bench.scoring.statistics import mcnemar, mid_p, proportion
from bench.store.records import Chances


@pytest.mark.parametrize("counts", [(0, 0), (3, 3), (5, 1), (0, 9), (40, 10), (300, 250)])
def test_on_flags_it_is_mcnemars_test(counts: tuple[int, int]) -> None:
    differences = np.concatenate([np.ones(counts[0]), -np.ones(counts[1]), np.zeros(20)])
    assert sign_flip(differences) == pytest.approx(mid_p(*counts), abs=1e-12)
    assert sign_flip(differences, mid=False) == pytest.approx(mcnemar(*counts), abs=1e-12)


@pytest.mark.parametrize(
    "differences", [[0.25, -0.5, 0.75, 0.125, 1 / 3, -0.2], [0.5] * 7, [0.1, 0.2, 0.3, -0.4, 0.05]]
)
def test_it_counts_every_choice_of_signs(differences: list[float]) -> None:
    d = np.array(differences)
    sums = np.array([abs(float(np.dot(signs, d))) for signs in product([1, -1], repeat=len(d))])
    seen = abs(float(d.sum()))
    assert sign_flip(d, mid=False) == pytest.approx(np.mean(sums >= seen - 1e-9), abs=1e-9)
    assert sign_flip(d) == pytest.approx(
        np.mean(sums > seen + 1e-9) + np.mean(np.abs(sums - seen) < 1e-9) / 2, abs=1e-9
    )


def test_it_keeps_its_level_where_nothing_differs() -> None:
    """Two random models alike in each sample, judged by 16 draws: at a .05 level, about 5 % false alarms."""
    rng = np.random.default_rng(0)
    chance = rng.beta(0.5, 0.5, 60)
    alarms = [
        sign_flip(rng.binomial(16, chance) / 16 - rng.binomial(16, chance) / 16) <= 0.05 for _ in range(400)
    ]
    assert 0.02 < np.mean(alarms) < 0.085


def test_shares_of_flags_are_proportions() -> None:
    right = np.array([1, 1, 0, 1, 0, 1], dtype=np.float32)
    assert mean_chance(right) == proportion(4, 6)
    assert success_rate(np.ones(6, np.float32), right) == proportion(2, 6)


def test_the_interval_counts_samples_and_draws() -> None:
    """Samples all right half of the time, judged by 4 draws: 95 % of the intervals hold the truth."""
    rng = np.random.default_rng(1)
    intervals = [mean_chance(rng.binomial(4, 0.5, 50) / 4) for _ in range(400)]
    assert 0.92 < np.mean([p.low <= 0.5 <= p.high for p in intervals]) <= 1
    exact = mean_chance(np.full(50, 0.5))
    assert exact.high - exact.low < np.mean([p.high - p.low for p in intervals])


def test_success_is_weighed_by_what_was_right() -> None:
    rate = success_rate(np.array([1.0, 0.5, 0.0]), np.array([0.5, 0.5, 0.0]))
    assert rate.value == pytest.approx((0.5 + 0.25) / 1.5)


def test_a_random_model_is_compared_by_chances() -> None:
    rng = np.random.default_rng(2)
    flags = rng.random(80) < 0.6
    fractions = np.clip(flags * 0.75, 0, 1)
    found = paired_chances(flags.astype(float), fractions)
    assert found.difference == pytest.approx(0.25 * flags.mean())
    assert found.p_value == pytest.approx(2 * 0.5 ** (flags.sum()) / 2)
    assert found.only_first == flags.sum()
    same = paired(flags, ~flags)
    assert paired_chances(flags.astype(float), (~flags).astype(float)).p_value == pytest.approx(same.p_value)


def test_an_outcome_says_how_often() -> None:
    chances = Chances(
        np.array([1.0, 0.5], np.float32), np.array([0.25, 0.5], np.float32), np.array([0.25, 0.5], np.float32)
    )
    outcome = Outcome(np.array([True, False]), np.array([True, True]), chances)
    assert outcome.before.tolist() == [1.0, 0.5]
    assert outcome.robust.tolist() == [0.25, 0.5]
    assert outcome.lost[0] == 0.75
    assert np.isnan(outcome.lost[1])
