"""What one cell leaves: one row per sample."""

from dataclasses import MISSING, dataclass, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Records:
    """Columns of length N, one entry per sample, in the order of the samples.

    A sample that was predicted wrongly before the attack is not attacked: its adversarial columns repeat the
    clean ones, its distances are zero, and ``success`` is false. Probabilities are softmax outputs; distances
    are on the [0, 1] scale.
    """

    id: npt.NDArray[np.str_]
    label: Ints
    clean_pred: Ints
    clean_prob: Floats
    clean_prob_true: Floats
    adv_pred: Ints
    adv_prob: Floats
    adv_prob_true: Floats
    success: Bools
    linf: Floats
    l2: Floats
    l1: Floats
    l0: Floats
    queries: Ints | None = None
    """Black-box attacks: queries until the first adversarial within eps was seen, or all made if none was."""
    distance: Floats | None = None
    """Minimum-norm attacks: the adversarial's distance in the attack's norm, whatever eps; inf if none."""

    clean_right: Floats | None = None
    """Random models: the probability of being right before the attack, exact or the mean over draws."""
    adv_right: Floats | None = None
    """Random models: the same under attack."""
    adv_choice: Floats | None = None
    """Random models: an estimate of ``adv_right`` from other draws, by which the worst attack is chosen."""

    def __len__(self) -> int:
        return len(self.id)

    @property
    def before(self) -> Floats:
        """How often each sample is correctly predicted unattacked: 0 or 1, unless the model is random."""
        return (
            (self.clean_pred == self.label).astype(np.float32)
            if self.clean_right is None
            else self.clean_right
        )

    @property
    def after(self) -> Floats:
        """How often each sample is predicted correctly under attack."""
        return (self.adv_pred == self.label).astype(np.float32) if self.adv_right is None else self.adv_right


@dataclass(frozen=True)
class Clean:
    """The columns of Records that say how the model stands unattacked, each N."""

    id: npt.NDArray[np.str_]
    label: Ints
    pred: Ints
    prob: Floats
    prob_true: Floats
    right: Floats | None = None

    @cached_property
    def correct(self) -> Bools:
        """Of each sample, whether it is predicted correctly."""
        correct: Bools = self.pred == self.label
        return correct


@dataclass(frozen=True)
class Attacked:
    """The columns of Records that say what came of an attack, each N; ``distances`` by norm."""

    pred: Ints
    prob: Floats
    prob_true: Floats
    success: Bools
    distances: dict[str, Floats]
    queries: Ints | None = None
    distance: Floats | None = None
    right: Floats | None = None
    choice: Floats | None = None


@dataclass(frozen=True)
class Chances:
    """Probability (float32, N) that a random model is right on each sample, ``before`` and ``after`` attack.

    ``choice`` estimates ``after`` from other draws: by it the worst of several attacks is chosen, and by
    ``after`` judged.
    """

    before: Floats
    after: Floats
    choice: Floats


@dataclass(frozen=True)
class CellOutcomes:
    """What ranking and comparing need of a cell's records, N: predicted correctly unattacked, then broken.

    ``largest`` is the largest distance in the cell's norm; None where there is no column of that norm.
    ``chances`` are there of a random model, of which the flags only say what it does most of the time.
    """

    id: npt.NDArray[np.str_]
    label: Ints
    correct: Bools
    broken: Bools
    largest: float | None
    chances: Chances | None = None


NORMS = ("linf", "l2", "l1", "l0")
CHANCES = ("clean_right", "adv_right", "adv_choice")
"""Columns that only random models have."""
COLUMNS = tuple(field.name for field in fields(Records) if field.default is MISSING)
OPTIONAL_COLUMNS = tuple(field.name for field in fields(Records) if field.default is None)
"""Columns that only some attacks, or some models, have."""
