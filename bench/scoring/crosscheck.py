"""Do the two libraries say the same? One verdict per model, attack and eps, by what the contract lets us expect."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.records import Records
from bench.scoring.statistics import mcnemar

AGREEMENT = 0.995
"""Share of samples with the same outcome that an exact pair must reach."""
ALPHA = 0.05
"""Level of the paired test on a pair that is not exact."""

Verdict = Literal["agree", "differ", "not comparable", "one library", "incomplete"]


@dataclass(frozen=True)
class CrossCheck:
    """``agreement`` is the share of samples with the same outcome; ``p_value`` is exact McNemar's on the outcomes."""

    model: str
    seed: int
    attack: str
    eps: str
    verdict: Verdict
    agreement: float | None = None
    asr_foolbox: float | None = None
    asr_art: float | None = None
    p_value: float | None = None

    @property
    def gap(self) -> float | None:
        """How far apart the two attack success rates are."""
        if self.asr_foolbox is None or self.asr_art is None:
            return None
        return abs(self.asr_foolbox - self.asr_art)


def judge(pairing: str, foolbox: Records, art: Records) -> tuple[Verdict, float, float]:
    """(verdict, agreement, p-value) of the outcomes of one cell through both libraries."""
    only_foolbox = int(np.sum(foolbox.success & ~art.success))
    only_art = int(np.sum(art.success & ~foolbox.success))
    agreement = 1 - (only_foolbox + only_art) / len(foolbox)
    p_value = mcnemar(only_foolbox, only_art)
    if pairing == "exact":
        return ("agree" if agreement >= AGREEMENT else "differ"), agreement, p_value
    if pairing == "statistical":
        return ("agree" if p_value >= ALPHA else "differ"), agreement, p_value
    return "not comparable", agreement, p_value
