"""The security curve: robust accuracy over eps, of one model under one attack through one library."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.store.records import Bools, Floats

Distance = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SecurityCurve:
    """``robust`` is the robust accuracy at each of ``eps``, starting with the clean accuracy at 0.

    ``area`` is the area under it up to the largest eps, over that eps: 1 for a model that nothing breaks.
    ``median`` is the median distance to the adversarial of the samples predicted correctly; None while no
    half of them is broken.
    """

    eps: tuple[float, ...]
    robust: tuple[float, ...]
    area: float
    median: float | None


def fixed_budget_curve(accuracy: float, grid: Sequence[float], robust: Sequence[float]) -> SecurityCurve:
    """The curve through the cells of a fixed-budget attack, joined by straight lines (Biggio & Roli 2018).

    Its median is where the curve passes half the clean accuracy.
    """
    eps, height = np.array([0.0, *grid]), np.array([accuracy, *robust])
    area = float(np.trapezoid(height, eps) / eps[-1])
    below = np.flatnonzero(height <= accuracy / 2)
    median = _crossing(eps, height, int(below[0]), accuracy / 2) if accuracy > 0 and len(below) else None
    return SecurityCurve(tuple(map(float, eps)), tuple(map(float, height)), area, median)


def _crossing(eps: Distance, height: Distance, i: int, level: float) -> float:
    share = (height[i - 1] - level) / (height[i - 1] - height[i])
    return float(eps[i - 1] + share * (eps[i] - eps[i - 1]))


def minimum_norm_curve(correct: Bools, distance: Floats, grid: Sequence[float]) -> SecurityCurve:
    """The exact curve of a minimum-norm attack, from how far it had to go to break each sample.

    ``correct`` and ``distance`` (on the scale of ``grid``; inf where nothing was found) have length N. The
    area is that of the steps; the median may lie beyond the grid.
    """
    reach = np.where(correct, distance, 0.0).astype(np.float64)
    eps = (0.0, *map(float, grid))
    robust = tuple(float(np.mean(correct & (reach > e))) for e in eps)
    area = float(np.minimum(reach, eps[-1]).mean() / eps[-1])
    median = float(np.median(reach[correct])) if correct.any() else np.inf
    return SecurityCurve(eps, robust, area, median if np.isfinite(median) else None)
