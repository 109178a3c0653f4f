"""Two models on the same samples: whether they differ, and how small a difference could have been found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations

import numpy as np
import numpy.typing as npt

from bench.ids import AttackEps, ModelId
from bench.scoring.sign_flip import sign_flip
from bench.scoring.statistics import (
    holm,
    mean_difference,
    mid_p,
    minimum_detectable,
    needed_discordant,
    paired_interval,
    proportion,
)
from bench.store.records import Bools, Chances

Row = npt.NDArray[np.float64]
ALPHA = 0.05
"""Level of the paired tests, over their whole family."""
HEADLINE_SHARE = 4
"""How many times the level of all others those at the headline eps have in a family: 80 and 20 % of it."""
WORST_CASE = "worst case"
"""Stands for an attack's name: the worst attack on each sample."""


@dataclass(frozen=True)
class PairedDifference:
    """A share of the same ``n`` samples in two models; ``difference`` is first - second with a 95 % interval.

    ``p_value`` is McNemar's mid-p, from the samples that only one of the models has, or where one is random
    that of the sign-flip test, of which it is a case; there, ``only_first`` counts the samples that the first
    more often has. ``p_adjusted`` is Holm's over the family. ``detectable`` is the difference that would have
    been found with probability 0.8 at the level of Holm's first step (NaN: none would), and ``needed`` the
    fewest discordant samples that could have shown any.
    """

    n: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    only_first: int
    only_second: int
    p_value: float
    p_adjusted: float
    detectable: float
    needed: int

    @property
    def shown(self) -> bool:
        """Whether the difference stands after correction over the family."""
        return self.p_adjusted <= ALPHA

    @property
    def equal(self) -> bool:
        """Whether no sample tells the two models apart."""
        return self.only_first == self.only_second == 0


@dataclass(frozen=True)
class Comparison:
    """Two models under one attack at one eps; a sample counts as broken if any library breaks it.

    ``robust`` compares robust accuracy over all samples; ``asr`` compares success rates over the samples that
    both models predict correctly before the attack, so that their denominators are the same.
    """

    first: ModelId
    second: ModelId
    attack: str
    eps: Fraction
    robust: PairedDifference
    asr: PairedDifference

    @property
    def better(self) -> ModelId | None:
        """The more robust model, if a difference is shown."""
        if not self.robust.shown:
            return None
        return self.first if self.robust.difference > 0 else self.second


@dataclass(frozen=True)
class Outcome:
    """What one attack did to one model: per sample (N), predicted correctly before, and wrongly after.

    Of a random model that is what it does most of the time, and ``chances`` say how often.
    """

    correct: Bools
    wrong: Bools
    chances: Chances | None = None

    @property
    def before(self) -> Row:
        """How often each sample is correct before the attack: 0 or 1, unless the model is random."""
        return np.asarray(self.correct if self.chances is None else self.chances.before, dtype=np.float64)

    @property
    def robust(self) -> Row:
        """Of each sample, how often it is predicted correctly under attack."""
        return np.asarray(~self.wrong if self.chances is None else self.chances.after, dtype=np.float64)

    @property
    def lost(self) -> Row:
        """Of each sample that is correct before the attack, how often it is not after; NaN of the others."""
        return np.where(self.correct, 1 - self.robust, np.nan)


def compare_models(
    outcomes: Mapping[ModelId, Mapping[AttackEps, Outcome]], *, across: bool, headline: Fraction
) -> tuple[Comparison, ...]:
    """Every pair of models on every attack and eps that both have, corrected over all of them together.

    Models come as (later, earlier) of ``outcomes``' order. Unless ``across``, only models of the same
    training seed meet. The cells at the ``headline`` eps, which answer what the suite asks, have four fifths
    of the family's level to begin with.
    """
    asked = [
        (second, first, cell)
        for first, second in combinations(outcomes, 2)
        if across or first.seed == second.seed
        for cell in outcomes[first]
        if cell in outcomes[second]
    ]
    weights = _weights([cell.eps == headline for _, _, cell in asked])
    levels = [ALPHA * weight / sum(weights) for weight in weights]
    found = [
        _compare(a, b, cell, outcomes[a][cell], outcomes[b][cell], x)
        for (a, b, cell), x in zip(asked, levels, strict=True)
    ]
    robust, asr = (
        over_family([c.robust for c in found], weights),
        over_family([c.asr for c in found], weights),
    )
    return tuple(replace(c, robust=r, asr=a) for c, r, a in zip(found, robust, asr, strict=True))


def _weights(headline: Sequence[bool]) -> list[int]:
    """A family's weights: the headline's have HEADLINE_SHARE times that of others; equal without either."""
    first, others = sum(headline), len(headline) - sum(headline)
    if not first or not others:
        return [1] * len(headline)
    return [HEADLINE_SHARE * others if at else first for at in headline]


def _compare(
    first: ModelId, second: ModelId, cell: AttackEps, a: Outcome, b: Outcome, level: float
) -> Comparison:
    both = a.correct & b.correct
    if a.chances is None and b.chances is None:
        robust, asr = paired(~a.wrong, ~b.wrong, level), paired(a.wrong[both], b.wrong[both], level)
    else:
        robust, asr = (
            paired_chances(a.robust, b.robust, level),
            paired_chances(a.lost[both], b.lost[both], level),
        )
    return Comparison(first, second, cell.attack, cell.eps, robust=robust, asr=asr)


def paired(first: Bools, second: Bools, level: float = ALPHA) -> PairedDifference:
    """Compare two shares of the same samples.

    In a family, ``level`` is that of Holm's first step, and its correction is still due.
    """
    n = len(first)
    both = int((first & second).sum())
    only_first, only_second = int(first.sum()) - both, int(second.sum()) - both
    low, high = paired_interval(both, only_first, only_second, n - both - only_first - only_second)
    a, b = proportion(both + only_first, n).value, proportion(both + only_second, n).value
    p = mid_p(only_first, only_second)
    detectable = minimum_detectable(n, only_first + only_second, level)
    return PairedDifference(
        n, a, b, a - b, low, high, only_first, only_second, p, p, detectable, needed_discordant(level)
    )


def paired_chances(first: Row, second: Row, level: float = ALPHA) -> PairedDifference:
    """As ``paired``, of two means of the same samples, each counting 0 to 1: by the exact sign-flip test.

    The interval is Student's, whose spread over samples holds that of the draws by which each was judged.
    """
    only_first, only_second = int((first > second).sum()), int((second > first).sum())
    if len(first) < 2:
        flags = paired(first > 0.5, second > 0.5, level)
        return replace(flags, only_first=only_first, only_second=only_second)
    found = mean_difference(first[None], second[None], level)
    p = sign_flip(first - second)
    means = float(first.mean()), float(second.mean())
    counts = only_first, only_second
    return PairedDifference(
        len(first),
        *means,
        found.difference,
        found.low,
        found.high,
        *counts,
        p,
        p,
        found.detectable,
        needed_discordant(level),
    )


def over_family(family: Sequence[PairedDifference], weights: Sequence[int] = ()) -> list[PairedDifference]:
    """``family`` with Holm's correction, by ``weights`` if any."""
    adjusted = holm([d.p_value for d in family], weights)
    return [replace(d, p_adjusted=p) for d, p in zip(family, adjusted, strict=True)]


def ranks(models: Sequence[ModelId], comparisons: Sequence[Comparison]) -> dict[ModelId, int]:
    """1 + how many models are shown to be better: see bench.scoring.standing."""
    beaten = dict.fromkeys(models, 1)
    for c in comparisons:
        if c.better is not None:
            beaten[c.second if c.better == c.first else c.first] += 1
    return beaten
