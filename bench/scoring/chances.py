"""Shares of samples where each counts as often as a random model is right on it.

Here are their means, intervals and paired tests. Each sample's own estimate varies by its draws, besides
samples varying among themselves, so that the spread over samples holds both: an interval from it counts
samples and draws.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from bench.scoring.statistics import Proportion, proportion, wilson
from bench.store.records import Floats

Row = npt.NDArray[np.float64]


def mean_chance(right: Floats | Row, confidence: float = 0.95) -> Proportion:
    """The mean of ``right`` (N, from 0 to 1) with its interval; ``count`` is the sum, rounded.

    The interval is Wilson's for the number of samples of 0 and 1 that would vary as much (Korn and Graubard
    1998): where all of them are, it is ``proportion``.
    """
    values = right.astype(np.float64)
    if _flags(values):
        return proportion(int(values.sum()), len(values), confidence)
    return _with_interval(float(values.mean()), values, len(values), confidence)


def success_rate(before: Floats | Row, after: Floats | Row, confidence: float = 0.95) -> Proportion:
    """The attack success rate: of the answers right before the attack, the share that is wrong after it.

    Samples count as often as they are right ``before`` (N); ``n`` is that number, rounded, of which the
    interval is by the ratio's linearisation (Woodruff 1971).
    """
    asked = before > 0
    weight, lost = before[asked].astype(np.float64), 1 - after[asked].astype(np.float64)
    if _flags(weight) and _flags(lost):
        return proportion(int(lost.sum()), len(lost), confidence)
    value = float((weight * lost).sum() / weight.sum())
    linear = value + weight * (lost - value) / weight.mean()
    return _with_interval(value, linear, round(float(weight.sum())), confidence)


def _flags(values: Row) -> bool:
    return bool(np.isin(values, (0.0, 1.0)).all())


def _with_interval(value: float, values: Row, shown: int, confidence: float) -> Proportion:
    """``value``, the mean of ``values``, as a share of ``shown`` answers."""
    variance = float(
        np.concatenate([values, [0.0, 1.0]]).var(ddof=1)
    )  # of equal values, too, the next may be another
    effective = max(value * (1 - value) / variance, 1.0) * len(values) if 0 < value < 1 else len(values)
    low, high = wilson(min(max(value, 0.0), 1.0), effective, float(ndtri((1 + confidence) / 2)))
    return Proportion(round(value * shown), shown, value, low, high)
