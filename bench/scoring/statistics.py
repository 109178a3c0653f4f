"""The statistics that scores rest on, each with its source.

From scipy.special, not scipy.stats, which takes as long to import as 50 runs to rank.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, bdtrc, bdtrik, betainc, betaincinv, nctdtrinc, ndtri, stdtr, stdtrit

from bench.store.records import Bools, Floats

Counts = npt.NDArray[np.int64]
Row = npt.NDArray[np.float64]
Table = npt.NDArray[np.float64]
"""Training seeds x the same N samples; NaN where a sample does not count for a seed."""
PRECISION = 1e-4
"""To which a detectable difference is solved for: a tenth of what is printed."""
NO_VARIANCE = 1e-20
"""What rounding leaves of the variance of equal values; of float32's neighbours it is more."""


@dataclass(frozen=True)
class Proportion:
    """``count`` of ``n`` with its Wilson interval."""

    count: int
    n: int
    value: float
    low: float
    high: float


def proportion(count: int, n: int, confidence: float = 0.95) -> Proportion:
    """``count / n`` with the Wilson score interval (Wilson 1927).

    Of no samples, nothing is known: NaN in [0, 1].
    """
    if n == 0:
        return Proportion(0, 0, math.nan, 0.0, 1.0)
    low, high = wilson(count / n, n, float(ndtri((1 + confidence) / 2)))
    return Proportion(count, n, count / n, low, high)


def wilson(p: float, n: float, z: float) -> tuple[float, float]:
    """The score interval of a share ``p`` of ``n`` samples, ``z`` standard deviations wide to each side."""
    z2 = z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return 0.0 if p == 0 else centre - half, 1.0 if p == 1 else centre + half


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided p-value of the exact McNemar test, from the two discordant counts (McNemar 1947).

    For gates and reproductions: the chance that nothing but noise is called a change stays below the level,
    whatever is asked.
    """
    discordant = only_first + only_second
    if discordant == 0:
        return 1.0
    fewer = min(only_first, only_second)
    return min(
        1.0, 2 * float(betainc(discordant - fewer, fewer + 1, 0.5))
    )  # the binomial's distribution function


def mid_p(only_first: int, only_second: int) -> float:
    """Two-sided mid-p value of the McNemar test: the outcome that was seen counts half (Lancaster 1961).

    For the differences between models. The exact test's false alarms are .017 to .045 at a level of .05;
    those of mid-p stay below .051, and below 1.02 times any level that a family leaves, from 30 samples on,
    wherever two models are not opposites of each other (see tests/benchmarks/paired.py, which computes them;
    Fagerland et al. 2013, BMC Med Res Methodol 13:91).
    """
    discordant = only_first + only_second
    if only_first == only_second:
        return 1.0
    fewer = min(only_first, only_second)
    return float(bdtr(fewer, discordant, 0.5) + (bdtr(fewer - 1, discordant, 0.5) if fewer else 0.0))


def holm(p_values: Sequence[float], weights: Sequence[int] = ()) -> list[float]:
    """``p_values`` adjusted over their family, in the given order (Holm 1979).

    With ``weights``, each is first tested at its share of the level; what is shown leaves its share to the
    others. That keeps the family's level however the tests are correlated, as a closed procedure does.
    """
    shares = weights or [1] * len(p_values)
    adjusted, running, left = [1.0] * len(p_values), 0.0, sum(shares)
    for i in sorted(range(len(p_values)), key=lambda i: p_values[i] / shares[i]):
        running = max(running, min(1.0, p_values[i] * left / shares[i]))
        adjusted[i] = running
        left -= shares[i]
    return adjusted


def paired_interval(
    both: int, only_first: int, only_second: int, neither: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of (share of first) - (share of second) on the same samples, from their four joint counts.

    Newcombe 1998, Statistics in Medicine 17:2635, method 10: two Wilson intervals squared and added, with the
    correlation of the pair. Where many samples tell the two apart, the paired bootstrap's interval is the
    same; where few do, that one is too narrow (at 125 samples and a true 2 points it covers 90 % of the time,
    at 50 samples 63 %) and shrinks to nothing at none.
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
    """The fewest discordant samples whose mid-p can reach ``alpha``: the least n with 1 / 2^n <= alpha."""
    return math.ceil(-math.log2(alpha))


def minimum_detectable(n: int, discordant: int, alpha: float = 0.05, power: float = 0.8) -> float:
    """The difference of shares of ``n`` samples that ``mid_p`` at ``alpha`` finds with probability ``power``.

    That is before the samples are drawn: how many are discordant varies too, D ~ Binomial(n, share) (Connor
    1987, Biometrics 43:207); given the D that was seen, the power is overstated wherever a lucky D is needed
    (Lachenbruch 1992, Statistics in Medicine 11:1521). The share of discordant samples, of which the
    difference tells nothing, is taken to be the observed ``discordant`` / n; or the difference itself, where
    that is larger: then all of them lie on one side. NaN if ``n`` is too small for any difference.
    """
    needed = needed_discordant(alpha)
    if n < needed:
        return math.nan
    one_sided = float(
        betaincinv(needed, n - needed + 1, power)
    )  # with all on one side, D must only reach what the test needs
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
    """How many of ``discordant`` on one side let ``mid_p`` reach ``alpha``; all plus one where none do."""
    found: Counts = (
        discordant - np.maximum(bdtrik(alpha / 2, discordant.clip(1), 0.5), 0).astype(np.int64) + 1
    )
    # The exact test's count may be one above by rounding, and mid-p's is at most one below it.
    for _ in range(2):
        found -= bdtrc(found - 2, discordant, 0.5) + bdtrc(found - 1, discordant, 0.5) <= alpha
    return found


def beats(wins: int, losses: int) -> float:
    """One-sided exact sign test: the chance of ``wins`` or more of ``wins + losses`` between equal sides."""
    return float(bdtrc(wins - 1, wins + losses, 0.5))


def at_most(count: int, n: int, rate: float) -> float:
    """One-sided exact binomial test: chance of at most ``count`` of ``n``, each at probability ``rate``."""
    return float(bdtr(count, n, rate)) if count >= 0 else 0.0


def lower_bound(values: Sequence[float], confidence: float = 0.95) -> float:
    """The one-sided lower bound of the mean of ``values`` by Student's t; of a single value it is 0."""
    if len(values) < 2:
        return 0.0
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return max(float(np.mean(values)) - float(stdtrit(len(values) - 1, confidence)) * error, 0.0)


def calibration_error(confidence: Floats, correct: Bools, bins: int = 15) -> float:
    """Expected calibration error over ``bins`` equal bins (Guo et al. 2017).

    ``confidence`` and ``correct`` have length N.
    """
    index = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(index, weights=confidence.astype(np.float64) - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


@dataclass(frozen=True)
class AcrossSeeds:
    """A share over seeds: its mean, standard deviation, and an interval that includes training variation."""

    seeds: int
    mean: float
    spread: float
    low: float
    high: float


def across_seeds(table: Table, confidence: float = 0.95) -> AcrossSeeds:
    """The mean share of a ``table`` of 0 and 1 with at least 2 seeds, each of which weighs the same.

    The interval is Wilson's with Student's t and the number of independent samples that would vary as much
    (Korn and Graubard 1998), so that it stays within [0, 1] and open where every answer is the same.
    """
    balanced = _balanced(table)
    mean, spread = float(balanced.mean()), float(balanced.mean(axis=1).std(ddof=1))
    error, df = _error(balanced)
    n = mean * (1 - mean) / error**2 if error and 0 < mean < 1 else balanced.shape[1]
    low, high = wilson(mean, n, float(stdtrit(df, (1 + confidence) / 2)))
    return AcrossSeeds(len(table), mean, spread, low, high)


def _balanced(table: Table) -> Table:
    """``table`` without gaps: what a seed was not asked says nothing of it; what it was weighs the more.

    Each seed's mean stays, and varies by sample as a ratio of two sums does (its Taylor linearisation,
    Woodruff 1971).
    """
    table = table[:, ~np.isnan(table).all(axis=0)]
    asked = ~np.isnan(table)
    means = np.nanmean(table, axis=1, keepdims=True)
    weights = table.shape[1] / asked.sum(axis=1, keepdims=True)
    balanced: Table = means + np.where(asked, (table - means) * weights, 0.0)
    return balanced


def _one_more_each_way(shape: tuple[int, ...]) -> tuple[Table, Table]:
    """Two methods whose answers are the same on samples of ``shape``, and opposite on two more."""
    seeds, n = shape
    same = np.zeros((seeds, n))
    return np.insert(same, [n, n], [1, 0], axis=1), np.insert(same, [n, n], [0, 1], axis=1)


def _error(*methods: Table) -> tuple[float, float]:
    """The standard error of the mean of one method's table, and its degrees of freedom.

    Of two, it is that of the first's mean minus the second's. Two-way random effects, samples crossed with
    seeds (Searle et al. 1992): mean squares by seed, by sample and of the rest, of which the first two hold
    the rest once each. It is taken off once, unless that would leave less than any of them. Two methods are
    trained apart, so the seeds' mean squares add, and so do their degrees of freedom; one whose trainings all
    answer alike, as where nothing is trained, has none. Satterthwaite's (1946) would be those over the square
    of the seeds' share of the variance; over the share itself they raise no more than 6 % false alarms even
    at 2 seeds, where his raise 8 (tests/benchmarks/seeds.py).
    """
    table = methods[0] if len(methods) == 1 else methods[0] - methods[1]
    seeds, n = table.shape
    if seeds == 1:
        return math.sqrt(table.var(ddof=1) / n), n - 1
    rows, columns = table.mean(axis=1, keepdims=True), table.mean(axis=0, keepdims=True)
    by_seed = n * sum(float(own.mean(axis=1).var(ddof=1)) for own in methods)
    by_sample = seeds * float(columns.var()) * n / max(n - 1, 1)
    rest = float(((table - rows - columns + table.mean()) ** 2).sum()) / (max(n - 1, 1) * (seeds - 1))
    total = max(by_seed + by_sample - rest, by_seed, by_sample, rest)
    if total < NO_VARIANCE:
        return 0.0, n - 1
    share = by_seed / total
    trained = max(sum(bool(np.ptp(own, axis=0).any()) for own in methods), 1)
    return math.sqrt(total / (seeds * n)), 1 / (share / (trained * (seeds - 1)) + (1 - share) / max(n - 1, 1))


@dataclass(frozen=True)
class MeanDifference:
    """The difference of two means, its interval, p-value, and the difference found with the asked power."""

    difference: float
    low: float
    high: float
    p_value: float
    detectable: float


def mean_difference(first: Table, second: Table, level: float = 0.05, power: float = 0.8) -> MeanDifference:
    """The mean of ``first`` - ``second``: of one seed by paired t test, of several with training varying too.

    The tables are of shares (or of values from 0 to 1) of the same samples; those that either does not count
    are left out. The interval is that of 95 %, and leaves out 0 where the p-value is below .05. Where all
    answers differ by the same, most often by nothing, it is as wide as if one more sample were to differ each
    way. The detectable difference is the standard error times the noncentrality at which Student's t passes
    the critical value of ``level`` with ``power``, as if that error were known; NaN if it is more than 1.
    """
    asked = ~np.isnan(first - second)
    methods = [_balanced(np.where(asked, table, np.nan)) for table in (first, second)]
    mean = float(methods[0].mean() - methods[1].mean())
    error, df = _error(
        *(methods if np.ptp(methods[0] - methods[1]) > 0 else _one_more_each_way(methods[0].shape))
    )
    half = float(stdtrit(df, 0.975)) * error
    p = float(2 * stdtr(df, -abs(mean) / error))
    detectable = float(nctdtrinc(df, 1 - power, stdtrit(df, 1 - level / 2))) * error
    low, high = max(mean - half, -1.0), min(mean + half, 1.0)
    return MeanDifference(mean, low, high, p, detectable if detectable <= 1 else math.nan)
