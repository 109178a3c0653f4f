"""The statistics that scores rest on, each with its source.

From scipy.special, not scipy.stats, which takes as long to import as 50 runs to rank.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, bdtrc, bdtrik, betainc, betaincinv, nctdtrinc, ndtri, stdtr, stdtrit

from bench.records import Bools, Floats


@dataclass(frozen=True)
class Proportion:
    """``count`` of ``n`` with its Wilson interval."""

    count: int
    n: int
    value: float
    low: float
    high: float


def proportion(count: int, n: int, confidence: float = 0.95) -> Proportion:
    """``count / n`` with the Wilson score interval (Wilson 1927). Of no samples, nothing is known: NaN in [0, 1]."""
    if n == 0:
        return Proportion(0, 0, math.nan, 0.0, 1.0)
    z = float(ndtri((1 + confidence) / 2))
    p, z2 = count / n, z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low = 0.0 if count == 0 else centre - half
    high = 1.0 if count == n else centre + half
    return Proportion(count, n, p, low, high)


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided p-value of the exact McNemar test, from the two discordant counts (McNemar 1947)."""
    discordant = only_first + only_second
    if discordant == 0:
        return 1.0
    fewer = min(only_first, only_second)
    return min(1.0, 2 * float(betainc(discordant - fewer, fewer + 1, 0.5)))  # the binomial's distribution function


def holm(p_values: Sequence[float]) -> list[float]:
    """``p_values`` adjusted over their family, in the given order (Holm 1979)."""
    adjusted = [1.0] * len(p_values)
    running = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def paired_interval(
    both: int, only_first: int, only_second: int, neither: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of (share of the first) - (share of the second) on the same samples, from their four joint counts.

    Newcombe 1998, Statistics in Medicine 17:2635, method 10: two Wilson intervals squared and added, with the correlation of
    the pair. Where many samples tell the two apart, the paired bootstrap's interval is the same; where few do, that one is too
    narrow (at 125 samples and a true 2 points it covers 90 % of the time, at 50 samples 63 %) and shrinks to nothing at none.
    """
    n = both + only_first + only_second + neither
    if n == 0:
        return -1.0, 1.0
    first = proportion(both + only_first, n, confidence)
    second = proportion(both + only_second, n, confidence)
    phi = _correlation(both, only_first, only_second, neither)
    difference = first.value - second.value
    down = _added(first.value - first.low, second.high - second.value, phi)
    up = _added(first.high - first.value, second.value - second.low, phi)
    return difference - down, difference + up


def _correlation(both: int, only_first: int, only_second: int, neither: int) -> float:
    """Newcombe's phi: the correlation of the pair, its numerator moved towards zero by half a count."""
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    if margins == 0:
        return 0.0
    product = float(both * neither - only_first * only_second)
    if product > 0:
        product = max(product - (both + only_first + only_second + neither) / 2, 0.0)
    return product / math.sqrt(margins)


def _added(a: float, b: float, phi: float) -> float:
    return math.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0))


def needed_discordant(alpha: float = 0.05) -> int:
    """The fewest discordant samples from which exact McNemar can reach ``alpha``: the least n with 2 / 2^n <= alpha."""
    return math.ceil(math.log2(2 / alpha))


def minimum_detectable(n: int, discordant: int, alpha: float = 0.05, power: float = 0.8) -> float:
    """The difference of two shares of ``n`` that exact McNemar at ``alpha`` finds with probability ``power``.

    Given ``discordant`` samples (at least as many as the test needs), the test rejects when at least m of them fall on one
    side; that happens with probability ``power`` when each does so with probability theta, the ``power`` quantile of
    Beta(m, discordant - m + 1) (Clopper & Pearson 1934; McNemar 1947). The difference is discordant * (2 theta - 1) / n.
    """
    if n == 0:
        return math.nan
    d = max(discordant, needed_discordant(alpha))
    critical = d - max(math.floor(bdtrik(alpha / 2, d, 0.5)), 0) + 1  # one above the answer, or equal to it through rounding
    while mcnemar(critical - 1, d - critical + 1) <= alpha:
        critical -= 1
    theta = float(betaincinv(critical, d - critical + 1, power))
    return min(d * (2 * theta - 1) / n, 1.0)


def beats(wins: int, losses: int) -> float:
    """One-sided exact sign test: the chance of at least ``wins`` of ``wins + losses`` if neither side were better."""
    return float(bdtrc(wins - 1, wins + losses, 0.5))


def at_most(count: int, n: int, rate: float) -> float:
    """One-sided exact binomial test: the chance of ``count`` or fewer of ``n`` if each came with probability ``rate``."""
    return float(bdtr(count, n, rate)) if count >= 0 else 0.0


def lower_bound(values: Sequence[float], confidence: float = 0.95) -> float:
    """The one-sided lower bound of the mean of ``values`` by Student's t; of a single value it is 0."""
    if len(values) < 2:
        return 0.0
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return max(float(np.mean(values)) - float(stdtrit(len(values) - 1, confidence)) * error, 0.0)


def calibration_error(confidence: Floats, correct: Bools, bins: int = 15) -> float:
    """Expected calibration error over ``bins`` equal bins (Guo et al. 2017); ``confidence`` and ``correct`` have length N."""
    index = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(index, weights=confidence.astype(np.float64) - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


@dataclass(frozen=True)
class AcrossSeeds:
    """A share over training seeds: its mean, standard deviation, and an interval that includes training variation."""

    seeds: int
    mean: float
    spread: float
    low: float
    high: float


Table = npt.NDArray[np.float64]
"""Training seeds x the same N samples; NaN where a sample does not count for a seed."""


def across_seeds(table: Table, confidence: float = 0.95) -> AcrossSeeds:
    """The mean share of a ``table`` of 0 and 1 with at least 2 seeds, each of which weighs the same.

    Seeds and samples both vary (two-way random effects; Searle et al. 1992). Student's t with seeds - 1 degrees.
    """
    shares = np.nanmean(table, axis=1)
    mean, half = float(shares.mean()), float(stdtrit(len(table) - 1, (1 + confidence) / 2)) * _standard_error(table)
    return AcrossSeeds(len(table), mean, float(shares.std(ddof=1)), max(mean - half, 0.0), min(mean + half, 1.0))


def _standard_error(table: Table) -> float:
    """Of the mean of ``table``: the variance of the seeds' means over their number plus that of the samples' over theirs."""
    samples = np.nanmean(table[:, ~np.isnan(table).all(axis=0)], axis=0)
    seeds = np.nanmean(table, axis=1)
    return math.sqrt(sum(means.var(ddof=1) / len(means) for means in (seeds, samples) if len(means) > 1))


@dataclass(frozen=True)
class MeanDifference:
    """The difference of two means with its interval, its p-value, and the difference found with the asked power."""

    difference: float
    low: float
    high: float
    p_value: float
    detectable: float


def mean_difference(first: Table, second: Table, level: float = 0.05, power: float = 0.8) -> MeanDifference:
    """The mean of ``first`` - ``second``: of one seed by the paired t test, of several with the training varying too.

    The interval is that of 95 %. The detectable difference is the standard error times the noncentrality at which Student's
    t passes the critical value of ``level`` with ``power``, at most 1.
    """
    table = first - second
    df = (len(table) if len(table) > 1 else table.shape[1]) - 1
    mean, error = float(np.nanmean(table, axis=1).mean()), _standard_error(table)
    half = float(stdtrit(df, 0.975)) * error
    p = float(2 * stdtr(df, -abs(mean) / error)) if error > 0 else float(mean == 0)
    detectable = min(float(nctdtrinc(df, 1 - power, stdtrit(df, 1 - level / 2))) * error, 1.0)
    return MeanDifference(mean, mean - half, mean + half, p, detectable)
