"""What is said of whole methods: over training seeds, and of clean accuracy and certainty."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t, ttest_rel

from bench.render.figures import make_figures
from bench.render.text import to_json
from bench.scoring.score import score
from bench.scoring.scorecard import Scorecard
from bench.scoring.statistics import mean_difference
from tests.scoring.test_scoring import SAMPLE, records, shown, store

SHIFT = {"base": (0, 0, 0), "weak": (60, 66, 72), "unsure": (0, 40, 100)}
"""How many more of 200 samples break, by model and training seed."""


def seeded(folder: Path) -> Scorecard:
    """Three models at three training seeds; 40 samples of each break, and those of SHIFT."""
    cells = {
        (model, seed, "art", "8/255"): records(0, 160 - shift[seed] <= SAMPLE)
        for model, shift in SHIFT.items()
        for seed in range(3)
    }
    return score(store(folder, cells))


def test_a_mean_difference_of_one_seed_is_the_paired_t_test() -> None:
    first, second = np.random.default_rng(0).normal(0.1, 1, (2, 1, 50))
    reference, found = ttest_rel(first[0], second[0]), mean_difference(first, second)
    interval = reference.confidence_interval()
    assert found.p_value == pytest.approx(reference.pvalue, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-12)


def test_a_mean_difference_over_seeds_by_hand() -> None:
    first = np.array([[1.0, 1, 0, 1], [1, 0, 0, np.nan]])
    second = np.array([[0.0, 1, 0, 0], [0, 0, 0, 1]])
    one = np.array(
        [[1, 1, 0, 1], [1 / 3 + 4 / 3 * 2 / 3, 1 / 3 - 4 / 9, 1 / 3 - 4 / 9, 1 / 3]]
    )  # what 3 samples say, of 4
    other = np.array([[0, 1, 0, 0], [0, 0, 0, 0]])
    by_seed = 4 * sum(table.mean(axis=1).var(ddof=1) for table in (one, other))
    by_sample = 2 * (one - other).mean(axis=0).var(ddof=1)
    d = one - other
    rest = ((d - d.mean(axis=0) - d.mean(axis=1)[:, None] + d.mean()) ** 2).sum() / 3
    total = max(by_seed + by_sample - rest, by_seed, by_sample, rest)
    df = 1 / (by_seed / total / 2 + (1 - by_seed / total) / 3)
    found = mean_difference(first, second)
    assert found.difference == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert found.p_value == pytest.approx(2 * t.sf(found.difference / np.sqrt(total / 8), df))
    assert found.low == pytest.approx(found.difference - t.ppf(0.975, df) * np.sqrt(total / 8))
    assert found.high == 1, "no difference of shares is more"


def test_training_seeds_are_summed_up_and_ranked(tmp_path: Path) -> None:
    card = seeded(tmp_path)
    assert [(s.model, s.rank, round(s.worst_case.mean, 3)) for s in card.seeds] == [
        ("base", 1, 0.8),
        ("unsure", 1, 0.567),
        ("weak", 2, 0.47),
    ]
    assert card.seeds[2].worst_case.spread == pytest.approx(0.03)
    assert [(r.model, r.asr and round(r.asr.mean, 3)) for r in card.seed_rates] == [
        ("base", 0.2),
        ("weak", 0.53),
        ("unsure", 0.433),
    ]


def test_a_difference_that_training_alone_could_make_is_not_claimed(tmp_path: Path) -> None:
    said = [s for s in seeded(tmp_path).sentences if "worst case" in s.text]
    assert [(s.text.split(",")[0], s.shown) for s in said] == [
        ("weak vs base", True),
        ("unsure vs base", False),
        ("unsure vs weak", False),
    ]


def test_a_seed_whose_model_gets_nothing_right_leaves_no_rate(tmp_path: Path) -> None:
    cells = {("a", seed, "art", "8/255"): records(200 * seed, SAMPLE >= 150) for seed in (0, 1)}
    card = score(store(tmp_path, cells))
    assert [r.asr for r in card.seed_rates] == [None]
    assert "\u2013" in shown(card, 80)


@pytest.mark.parametrize("width", [80, 140])
def test_the_leaderboard_shows_methods_not_every_training(tmp_path: Path, width: int) -> None:
    text = shown(seeded(tmp_path), width)
    assert max(map(len, text.splitlines())) <= width
    assert "#0" not in text
    assert "47.0 ± 3.0" in text


def test_figures_and_json_hold_the_means(tmp_path: Path) -> None:
    card = seeded(tmp_path)
    (axis,) = make_figures(card)["security_curves"].axes
    curves = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in axis.get_lines()}
    assert curves["weak"] == pytest.approx([100, 47])
    assert list(curves) == ["base", "weak", "unsure"]
    assert '"seed_rates"' in to_json(card)
