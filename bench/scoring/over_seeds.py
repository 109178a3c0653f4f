"""Two models over their training seeds: whether their methods differ, not just the networks that were trained once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from bench.scoring.comparison import ALPHA, Model, Outcome
from bench.scoring.statistics import detectable_over_seeds, holm, over_seeds

Signs = npt.NDArray[np.int8]
Where = tuple[str, str]
"""An attack's name and an eps."""


@dataclass(frozen=True)
class SeedDifference:
    """A share of the same ``n`` samples in two models, first - second, over ``seeds`` pairs of equal training seed.

    ``spread`` is the seeds' standard deviation; [``low``, ``high``] is the 95 % interval that includes training variation;
    ``p_value`` is that of a t test with seeds - 1 degrees of freedom; ``p_adjusted`` is Holm's over the family; ``detectable``
    is the difference found with probability 0.8 at the family's strictest level.
    """

    seeds: int
    n: int
    difference: float
    spread: float
    error: float
    low: float
    high: float
    p_value: float
    p_adjusted: float
    detectable: float

    @property
    def shown(self) -> bool:
        """Whether the difference stands after correction over the family."""
        return self.p_adjusted <= ALPHA


@dataclass(frozen=True)
class SeedComparison:
    """Two models under one attack at one eps over their seeds; a sample counts as broken if either library breaks it.

    ``robust`` compares robust accuracy over all samples; ``asr`` success rates over the samples that both models predict
    correctly at every seed.
    """

    first: str
    second: str
    attack: str
    eps: str
    robust: SeedDifference
    asr: SeedDifference


def compare_over_seeds(outcomes: Mapping[Model, Mapping[Where, Outcome]]) -> tuple[SeedComparison, ...]:
    """Every pair of models on every (attack, eps) that both have at two seeds or more, corrected over all of them together.

    Models come as (later, earlier) of ``outcomes``' order.
    """
    names = list(dict.fromkeys(name for name, _ in outcomes))
    cells = list(dict.fromkeys(where for found in outcomes.values() for where in found))
    found = [
        _compare(second, first, where, [(outcomes[second, s][where], outcomes[first, s][where]) for s in seeds])
        for first, second in combinations(names, 2)
        for where in cells
        if len(seeds := _shared_seeds(outcomes, first, second, where)) > 1
    ]
    robust, asr = _over_family([c.robust for c in found]), _over_family([c.asr for c in found])
    return tuple(replace(c, robust=r, asr=a) for c, r, a in zip(found, robust, asr, strict=True))


def _shared_seeds(outcomes: Mapping[Model, Mapping[Where, Outcome]], first: str, second: str, where: Where) -> list[int]:
    seeds = [seed for name, seed in outcomes if name == first and (second, seed) in outcomes]
    return [s for s in seeds if where in outcomes[first, s] and where in outcomes[second, s]]


def _compare(first: str, second: str, where: Where, pairs: Sequence[tuple[Outcome, Outcome]]) -> SeedComparison:
    both = np.logical_and.reduce([a.correct & b.correct for a, b in pairs])
    wrong = np.stack([a.wrong.astype(np.int8) - b.wrong for a, b in pairs])
    return SeedComparison(first, second, *where, robust=_difference(-wrong), asr=_difference(wrong[:, both]))


def _difference(signs: Signs) -> SeedDifference:
    """From the seeds x N table of first - second: -1, 0 or 1."""
    (seeds, n), found = signs.shape, over_seeds(signs)
    return SeedDifference(
        seeds=seeds,
        n=n,
        difference=found.mean,
        spread=found.spread,
        error=found.error,
        low=max(found.low, -1.0),
        high=min(found.high, 1.0),
        p_value=found.p_value,
        p_adjusted=found.p_value,
        detectable=detectable_over_seeds(found.error, seeds, ALPHA),
    )


def _over_family(family: Sequence[SeedDifference]) -> list[SeedDifference]:
    adjusted = holm([d.p_value for d in family])
    return [
        replace(d, p_adjusted=p, detectable=detectable_over_seeds(d.error, d.seeds, ALPHA / len(family)))
        for d, p in zip(family, adjusted, strict=True)
    ]
