"""Records -> the numbers of one cell, with DESIGN's denominators."""

from dataclasses import dataclass

import numpy as np

from bench.scoring.chances import mean_chance, success_rate
from bench.scoring.statistics import Proportion, calibration_error
from bench.store.records import NORMS, Bools, Floats, Records

CONFIDENT = 0.9
"""Probability from which a wrong prediction counts as a high-confidence error."""


@dataclass(frozen=True)
class Distances:
    """How far the adversarials of the broken samples lie: mean and median in one norm.

    ``largest`` is of all attacked samples.
    """

    mean: float | None
    median: float | None
    largest: float


@dataclass(frozen=True)
class Metrics:
    """The numbers of one cell.

    ``accuracy``, ``robust_accuracy`` and the shares of high-confidence errors are over all samples; ``asr``
    is over the samples predicted correctly before the attack. ``certainty`` is the mean probability of the
    predicted class and ``prob_true`` that of the true class, over all samples, clean and under attack. The
    certainties of broken and held samples are over those attacked; None where there are none.
    [``certainty_low``, ``certainty_high``], and the same under attack, are 95 % intervals over the samples.
    ``ece`` is the expected calibration error. Of a random model the shares are expectations; the rest is of
    its mean probabilities.
    """

    accuracy: Proportion
    robust_accuracy: Proportion
    asr: Proportion
    certainty: float
    certainty_adv: float
    certainty_low: float
    certainty_high: float
    certainty_adv_low: float
    certainty_adv_high: float
    certainty_broken: float | None
    certainty_broken_adv: float | None
    certainty_held: float | None
    certainty_held_adv: float | None
    prob_true: float
    prob_true_adv: float
    ece: float
    ece_adv: float
    confident_errors: float
    confident_errors_adv: float
    distances: dict[str, Distances]


def metrics(records: Records) -> Metrics:
    """All metrics of ``records``."""
    correct = records.clean_pred == records.label
    robust = records.adv_pred == records.label
    broken, held = records.success, correct & ~records.success
    sure, sure_adv = mean_chance(records.clean_prob), mean_chance(records.adv_prob)
    return Metrics(
        accuracy=mean_chance(records.before),
        robust_accuracy=mean_chance(records.after),
        asr=success_rate(records.before, records.after),
        certainty=_mean(records.clean_prob),
        certainty_adv=_mean(records.adv_prob),
        certainty_low=sure.low,
        certainty_high=sure.high,
        certainty_adv_low=sure_adv.low,
        certainty_adv_high=sure_adv.high,
        certainty_broken=_mean_of(records.clean_prob, broken),
        certainty_broken_adv=_mean_of(records.adv_prob, broken),
        certainty_held=_mean_of(records.clean_prob, held),
        certainty_held_adv=_mean_of(records.adv_prob, held),
        prob_true=_mean(records.clean_prob_true),
        prob_true_adv=_mean(records.adv_prob_true),
        ece=calibration_error(records.clean_prob, correct),
        ece_adv=calibration_error(records.adv_prob, robust),
        confident_errors=float(np.mean(~correct & (records.clean_prob >= CONFIDENT))),
        confident_errors_adv=float(np.mean(~robust & (records.adv_prob >= CONFIDENT))),
        distances={norm: _distances(getattr(records, norm), broken) for norm in NORMS},
    )


def _distances(distance: Floats, broken: Bools) -> Distances:
    largest = float(distance.max(initial=0))
    if not broken.any():
        return Distances(None, None, largest)
    return Distances(_mean(distance[broken]), float(np.median(distance[broken])), largest)


def _mean(values: Floats) -> float:
    return float(np.mean(values, dtype=np.float64))


def _mean_of(values: Floats, chosen: Bools) -> float | None:
    return _mean(values[chosen]) if chosen.any() else None
