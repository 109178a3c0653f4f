"""Records -> the numbers of one cell, with DESIGN's denominators."""

from dataclasses import dataclass

import numpy as np

from bench.records import Bools, Records
from bench.scoring.statistics import Proportion, proportion


@dataclass(frozen=True)
class Metrics:
    """The numbers of one cell.

    ``accuracy`` and ``robust_accuracy`` are over all samples; ``asr`` is over the samples predicted correctly before the
    attack. ``certainty`` is the mean probability of the predicted class over all samples, clean and under attack.
    """

    accuracy: Proportion
    robust_accuracy: Proportion
    asr: Proportion
    certainty: float
    certainty_adv: float


def metrics(records: Records) -> Metrics:
    """All metrics of ``records``."""
    correct = records.clean_pred == records.label
    held = records.adv_pred == records.label
    return Metrics(
        accuracy=_share(correct),
        robust_accuracy=_share(held),
        asr=proportion(int(records.success.sum()), int(correct.sum())),
        certainty=float(np.mean(records.clean_prob, dtype=np.float64)),
        certainty_adv=float(np.mean(records.adv_prob, dtype=np.float64)),
    )


def _share(flags: Bools) -> Proportion:
    return proportion(int(flags.sum()), len(flags))
