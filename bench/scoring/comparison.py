"""Two models on the same samples: whether they differ, and how small a difference could have been found."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from bench.records import Bools
from bench.scoring.statistics import holm, mcnemar, minimum_detectable, needed_discordant, paired_interval, proportion

ALPHA = 0.05
"""Level of the paired tests, over their whole family."""
WORST_CASE = "worst case"
"""Stands for an attack's name: the worst attack on each sample."""

Model = tuple[str, int]
"""A model's name and training seed."""


@dataclass(frozen=True)
class PairedDifference:
    """A share of the same ``n`` samples in two models; ``difference`` is first - second with its 95 % interval.

    ``p_value`` is exact McNemar's, from the samples that only one of the models has; ``p_adjusted`` is Holm's over the
    family. ``detectable`` is the difference that would have been found with probability 0.8 at the family's strictest
    level (NaN: none would), and ``needed`` the fewest discordant samples that could have shown any.
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
    """Two models under one attack at one eps; a sample counts as broken if either library breaks it.

    ``robust`` compares robust accuracy over all samples; ``asr`` compares success rates over the samples that both models
    predict correctly before the attack, so that their denominators are the same.
    """

    first: Model
    second: Model
    attack: str
    eps: str
    robust: PairedDifference
    asr: PairedDifference

    @property
    def better(self) -> Model | None:
        """The more robust model, if a difference is shown."""
        if not self.robust.shown:
            return None
        return self.first if self.robust.difference > 0 else self.second


@dataclass(frozen=True)
class Outcome:
    """What one attack did to one model: per sample, predicted correctly before, and predicted wrongly after; both length N."""

    correct: Bools
    wrong: Bools


def compare_models(outcomes: dict[Model, dict[tuple[str, str], Outcome]], *, across: bool) -> tuple[Comparison, ...]:
    """Every pair of models on every (attack, eps) that both have, corrected over all of them together.

    Models come as (later, earlier) of ``outcomes``' order. Unless ``across``, only models of the same training seed meet.
    """
    asked = [
        (second, first, cell)
        for first, second in combinations(outcomes, 2)
        if across or first[1] == second[1]
        for cell in outcomes[first]
        if cell in outcomes[second]
    ]
    level = ALPHA / max(len(asked), 1)
    found = [_compare(a, b, cell, outcomes[a][cell], outcomes[b][cell], level) for a, b, cell in asked]
    robust, asr = over_family([c.robust for c in found]), over_family([c.asr for c in found])
    return tuple(replace(c, robust=r, asr=a) for c, r, a in zip(found, robust, asr, strict=True))


def _compare(first: Model, second: Model, cell: tuple[str, str], a: Outcome, b: Outcome, level: float) -> Comparison:
    both = a.correct & b.correct
    robust, asr = paired(~a.wrong, ~b.wrong, level), paired(a.wrong[both], b.wrong[both], level)
    return Comparison(first, second, *cell, robust=robust, asr=asr)


def paired(first: Bools, second: Bools, level: float = ALPHA) -> PairedDifference:
    """Compare two shares of the same samples; in a family, ``level`` is that of Holm's first step, its correction is due."""
    n = len(first)
    both = int((first & second).sum())
    only_first, only_second = int(first.sum()) - both, int(second.sum()) - both
    low, high = paired_interval(both, only_first, only_second, n - both - only_first - only_second)
    a, b = proportion(both + only_first, n).value, proportion(both + only_second, n).value
    p = mcnemar(only_first, only_second)
    detectable = minimum_detectable(n, only_first + only_second, level)
    return PairedDifference(n, a, b, a - b, low, high, only_first, only_second, p, p, detectable, needed_discordant(level))


def over_family(family: Sequence[PairedDifference]) -> list[PairedDifference]:
    """``family`` with Holm's correction."""
    adjusted = holm([d.p_value for d in family])
    return [replace(d, p_adjusted=p) for d, p in zip(family, adjusted, strict=True)]


def ranks(models: Sequence[Model], comparisons: Sequence[Comparison]) -> dict[Model, int]:
    """1 + how many models are shown to be better; models that cannot be told apart share a rank."""
    beaten = dict.fromkeys(models, 1)
    for c in comparisons:
        if c.better is not None:
            beaten[c.second if c.better == c.first else c.first] += 1
    return beaten
