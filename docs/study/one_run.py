"""What one would conclude from one training of each model by the point estimate alone, and how often wrongly.

A study that trains each model once draws one seed of each. Here every seed of the one meets every seed of the
other: a two-sample U-statistic, whose variance is at most that of as many independent pairs as there are
seeds (Hoeffding 1948), so that Wilson's interval for this number of pairs is wide enough.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from bench.eps import eps_text
from bench.scoring.published import Published
from bench.scoring.rescored import Share
from bench.scoring.statistics import wilson
from docs.study.found import Difference, Found, differences

NORMAL = 1.959963984540054
"""Standard deviations to each side of a 95 % interval."""


@dataclass(frozen=True)
class OneRun:
    """What several trainings say, ``claim``, and the differences ``found`` by pairs of single ones."""

    suite: str
    claim: Difference
    found: tuple[float, ...]
    pairs: int

    @property
    def contradicts(self) -> float:
        """The share of them that do not say what several trainings show; 0 where these show nothing."""
        if not self.claim.shown:
            return 0.0
        return float(np.mean([np.sign(d) != np.sign(self.claim.difference) for d in self.found]))

    @property
    def unfounded(self) -> float:
        """The share of them that say a difference where several trainings show none."""
        return 0.0 if self.claim.shown else float(np.mean([d != 0 for d in self.found]))

    @property
    def split(self) -> float:
        """How often two such studies contradict each other: one says more robust, the other less."""
        more, less = (float(np.mean([np.sign(d) == sign for d in self.found])) for sign in (1, -1))
        return 2 * more * less


def one_runs(found: Found) -> Iterator[OneRun]:
    """One for each claim with several trainings on robust accuracy, or attack success against the baseline.

    As such studies do, attack success is taken over what each model gets right, not over what both do.
    """
    rates = _rates(found.published)
    for d in differences(found.scored) if found.seeds > 1 else ():
        if d.quantity in ("ASR", "robust accuracy"):
            own, base = (rates[name, d.where, d.quantity] for name in (d.model, d.baseline))
            yield OneRun(found.name, d, tuple(a - b for a, b in product(own, base)), min(len(own), len(base)))


def _rates(run: Published) -> dict[tuple[str, str, str], list[float]]:
    """By model, attack and quantity, what each training has at the headline eps."""
    models, found = {m.id: m for m in run.models}, defaultdict[tuple[str, str, str], list[float]](list)
    for cell in run.cells:
        if cell.eps == run.headline_eps:
            outcome, where = run.outcome(models[cell.id], cell), f"{cell.attack} {eps_text(cell.eps)}"
            found[cell.model, where, "robust accuracy"].append(float(outcome.robust.mean()))
            if outcome.correct.any():
                found[cell.model, where, "ASR"].append(float(np.nanmean(outcome.lost)))
    return found


def pooled(shares: Sequence[float], runs: Sequence[OneRun]) -> Share:
    """The mean of ``shares``, one of each of ``runs``, and its interval: a suite's claims share trainings."""
    independent = {run.suite: run.pairs for run in runs}
    mean = float(np.mean(shares))
    return Share(mean, *wilson(mean, sum(independent.values()), NORMAL))
