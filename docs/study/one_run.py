"""What one would conclude from one training of each model by the point estimate alone, and how often wrongly.

A study that trains each model once draws one seed of each. Here every seed of the one meets every seed of the
other: a two-sample U-statistic, whose variance is at most that of as many independent pairs as there are
seeds (Hoeffding 1948), so that Wilson's interval for this number of pairs is wide enough. Suites that train
the same adapters on the same images share trainings: together they count as the one that trains most often.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from bench.eps import eps_text
from bench.scoring.published import Published
from bench.scoring.rescored import Share
from bench.scoring.statistics import wilson
from bench.text import points
from docs.study.answer import NOTHING, Answer
from docs.study.found import Difference, Found, differences
from docs.study.tables import numbers, percent, table

NORMAL = 1.959963984540054
"""Standard deviations to each side of a 95 % interval."""


@dataclass(frozen=True)
class OneRun:
    """What several trainings say, ``claim``, and the differences ``found`` by pairs of single ones.

    ``task`` is what its models are trained for: where it is the same, trainings may be.
    """

    suite: str
    task: str
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
            pairs = tuple(a - b for a, b in product(own, base))
            yield OneRun(found.name, _task(found), d, pairs, min(len(own), len(base)))


def _task(found: Found) -> str:
    data = found.published.suite.get("data", {})
    return json.dumps([data.get(name) for name in ("source", "classes", "size")])


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
    """The mean of ``shares``, one of each of ``runs``, and its interval.

    Claims of one task share trainings.
    """
    independent: dict[str, int] = {}
    for run in runs:
        independent[run.task] = max(run.pairs, independent.get(run.task, 0))
    mean = float(np.mean(shares))
    return Share(mean, *wilson(mean, sum(independent.values()), NORMAL))


HEAD = ["suite", "comparisons", "several trainings show", "one of each contradicts, % of draws [95 %]",
        "names a winner where none is shown, %", "two contradict each other, % of pairs"]  # fmt: skip
DOUBTFUL = ["suite", "comparison", "of", "several trainings say [95 %]", "single ones say, points",
            "two contradict each other, % [95 %]"]  # fmt: skip


def one_run_each(runs: Sequence[Found]) -> Answer:
    """(g): the study's own method, again and again."""
    rows = [one for found in runs for one in one_runs(found)]
    if not rows:
        return Answer(NOTHING, [])
    suites = dict.fromkeys(one.suite for one in rows)
    lines = ["", *table(HEAD, [_row(name, [one for one in rows if one.suite == name]) for name in suites])]
    doubtful = sorted((one for one in rows if one.split), key=lambda one: -one.split)
    lines += ["", f"Where two such studies can contradict each other, {len(doubtful)} of {len(rows)}:", ""]
    lines += table(DOUBTFUL, map(_doubtful_row, doubtful))
    return Answer(". ".join(_said(rows)), lines)


def _said(rows: Sequence[OneRun]) -> Iterator[str]:
    shown, null = _split(rows)
    wrong, unfounded = [one.contradicts for one in shown], [one.unfounded for one in null]
    count = f"Of {len(rows)} comparisons, several trainings show {len(shown)}"
    otherwise = f"; there, one training of each says otherwise in {_mean(wrong, shown)} % of draws"
    yield count + (otherwise if shown else "")
    if null:
        yield f"Where they show nothing, it names a winner all the same in {_mean(unfounded, null)} %"
    yield f"Two such studies contradict each other in {_mean([one.split for one in rows], rows)} % of pairs"


def _split(rows: Sequence[OneRun]) -> tuple[list[OneRun], list[OneRun]]:
    return [one for one in rows if one.claim.shown], [one for one in rows if not one.claim.shown]


def _mean(shares: Sequence[float], rows: Sequence[OneRun]) -> str:
    return percent(pooled(shares, rows) if rows else None)


def _row(name: str, rows: Sequence[OneRun]) -> list[str]:
    shown, null = _split(rows)
    wrong = _mean([one.contradicts for one in shown], shown)
    unfounded = _mean([one.unfounded for one in null], null)
    return [name, str(len(rows)), str(len(shown)), wrong, unfounded, _mean([one.split for one in rows], rows)]


def _doubtful_row(one: OneRun) -> list[str]:
    d = one.claim
    return [
        one.suite,
        f"{d.model} vs {d.baseline}",
        f"{d.quantity}, {d.where}",
        f"{numbers(d)}: {d.verdict}",
        f"{points(min(one.found))} to {points(max(one.found))}",
        _mean([one.split], [one]),
    ]
