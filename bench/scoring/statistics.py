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

Counts = npt.NDArray[np.int64]
Row = npt.NDArray[np.float64]
Table = npt.NDArray[np.float64]
"""Training seeds x the same N samples; NaN where a sample does not count for a seed."""
PRECISION = 1e-4
"""To which a detectable difference is solved for: a tenth of what is printed."""


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
    """The difference of two shares of ``n`` samples that exact McNemar at ``alpha`` finds with probability ``power``.

    That is before the samples are drawn: how many are discordant varies too, D ~ Binomial(n, share) (Connor 1987, Biometrics
    43:207); given the D that was seen, the power is overstated wherever a lucky D is needed (Lachenbruch 1992, Statistics in
    Medicine 11:1521). The share of discordant samples, of which the difference says nothing, is taken to be the observed
    ``discordant`` / n; or the difference itself, where that is larger: then all of them lie on one side. NaN if ``n`` is too
    small for any difference.
    """
    needed = needed_discordant(alpha)
    if n < needed:
        return math.nan
    one_sided = float(betaincinv(needed, n - needed + 1, power))  # with all on one side, D must only reach what the test needs
    share = discordant / n
    if one_sided >= share:
        return one_sided
    counts, weights = _discordant(n, share)
    critical = _critical(counts, alpha)
    low, high = 0.0, share
    while high - low > PRECISION:
        middle = (low + high) / 2
        found = float(weights @ bdtrc(critical - 1, counts, (1 + middle / share) / 2))
        low, high = (middle, high) if found < power else (low, middle)
    return high


def _discordant(n: int, share: float) -> tuple[Counts, Row]:
    """Counts of discordant samples and how likely each is: Binomial(n, share), beyond what matters left out.

    Many counts are taken together, in bins of a quarter of their standard deviation.
    """
    deviation = math.sqrt(n * share * (1 - share))
    width = max(int(deviation / 4), 1)
    first, last = max(int(n * share - 5 * deviation), 0), min(int(n * share + 5 * deviation) + 1, n)
    edges = np.arange(first - 1, last + width, width).clip(max=n)
    weights = np.diff(np.where(edges < 0, 0.0, bdtr(edges.clip(0), n, share)))
    return np.minimum(edges[:-1] + (width + 1) // 2, n), weights


def _critical(discordant: Counts, alpha: float) -> Counts:
    """How many of ``discordant`` exact McNemar needs on one side to reach ``alpha``; one more than all where it cannot."""
    found: Counts = discordant - np.maximum(bdtrik(alpha / 2, discordant.clip(1), 0.5), 0).astype(np.int64) + 1
    found -= 2 * bdtrc(found - 2, discordant, 0.5) <= alpha  # rounding may have left it one above
    return found


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
    t passes the critical value of ``level`` with ``power``, as if that error were known; NaN if it is more than 1. Over seeds
    the power is at least that: each answer's own noise counts twice in the error.
    """
    table = first - second
    df = (len(table) if len(table) > 1 else table.shape[1]) - 1
    mean, error = float(np.nanmean(table, axis=1).mean()), _standard_error(table)
    half = float(stdtrit(df, 0.975)) * error
    p = float(2 * stdtr(df, -abs(mean) / error)) if error > 0 else float(mean == 0)
    detectable = float(nctdtrinc(df, 1 - power, stdtrit(df, 1 - level / 2))) * error
    return MeanDifference(mean, mean - half, mean + half, p, detectable if detectable <= 1 else math.nan)
