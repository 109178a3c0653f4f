"""Shares of samples where each counts as often as a random model is right on it: their means, intervals and paired tests.

Each sample's own estimate varies by its draws, besides samples varying among themselves, so that the spread over samples holds
both: an interval from it counts samples and draws.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from bench.scoring.statistics import Proportion, wilson
from bench.store.records import Floats

Row = npt.NDArray[np.float64]


def mean_chance(right: Floats | Row, confidence: float = 0.95) -> Proportion:
    """The mean of ``right`` (N, from 0 to 1) with its interval; ``count`` is the sum, rounded.

    The interval is Wilson's for the number of samples of 0 and 1 that would vary as much (Korn and Graubard 1998): where all
    of them are, it is that of ``proportion``.
    """
    values = right.astype(np.float64)
    return _with_interval(float(values.mean()) if len(values) else math.nan, values, len(values), confidence)


def success_rate(before: Floats, after: Floats, confidence: float = 0.95) -> Proportion:
    """The attack success rate: of the answers that are right before the attack, the share that is wrong after it.

    Samples count as often as they are right ``before`` (N); ``n`` is that number, rounded, of which the interval is by the
    ratio's linearisation (Woodruff 1971).
    """
    weight, lost = before.astype(np.float64), 1 - after.astype(np.float64)
    asked = weight > 0
    if not asked.any():
        return Proportion(0, 0, math.nan, 0.0, 1.0)
    weight, lost = weight[asked], lost[asked]
    value = float((weight * lost).sum() / weight.sum())
    linear = value + weight * (lost - value) / weight.mean()
    return _with_interval(value, linear, len(weight), confidence, round(float(weight.sum())))


def _with_interval(value: float, values: Row, n: int, confidence: float, shown: int | None = None) -> Proportion:
    count = n if shown is None else shown
    if n == 0:
        return Proportion(0, 0, math.nan, 0.0, 1.0)
    variance = float(np.concatenate([values, [0.0, 1.0]]).var(ddof=1))  # of equal values, too, the next may be another
    alike = bool(np.isin(values, (0.0, 1.0)).all())
    effective = n if alike or not 0 < value < 1 else max(value * (1 - value) / variance, 1.0) * n
    low, high = wilson(min(max(value, 0.0), 1.0), effective, float(ndtri((1 + confidence) / 2)))
    return Proportion(round(value * count), count, value, low, high)
