"""Paired tests of one training: exact McNemar against mid-p, alone and over the grids that suites make.

``python -m tests.benchmarks.paired`` prints two tables. The false alarms of one test are computed, not drawn:
the most that two equal models have, over every share of discordant samples up to a half, which is what no
correlation between them gives. The family-wise error and the power are drawn: three models under two attacks
at six eps, whose 36 cells share the samples' ease, are judged as a leaderboard judges them; either all are
equal, or two are ten points better at the headline eps than the third.
"""

import argparse
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import binom

from bench.ids import AttackEps, ModelId
from bench.scoring.comparison import ALPHA, WORST_CASE, Comparison, Outcome, PairedDifference, compare_models
from bench.scoring.statistics import holm, mcnemar, mid_p
from bench.store.records import Bools

Test = Callable[[int, int], float]
Outcomes = dict[ModelId, dict[AttackEps, Outcome]]
SAMPLES, LEVELS = (30, 50, 100, 150, 300, 1000), (0.05, 0.05 / 3, 0.05 / 36)
EPS = (1, 2, 4, 8, 12, 16)
HEADLINE = Fraction(8, 255)
WEAKER = {"fgsm": 0.8, "pgd": 0.0}
"""By how many doublings of eps an attack is weaker than the strongest."""
BETTER = 0.3
"""By how many doublings of eps a model must be more robust to be ten points better at the headline eps."""


def worst_alarm(n: int, level: float, test: Test) -> float:
    """The most false alarms of two equal models on ``n`` samples at ``level``."""
    most = [
        next((k for k in range(d // 2, -1, -1) if 2 * k < d and test(k, d - k) <= level), -1)
        for d in range(n + 1)
    ]
    alarm = [2 * binom.cdf(k, d, 0.5) for d, k in enumerate(most)]
    return max(
        float(binom.pmf(range(n + 1), n, share) @ np.array(alarm)) for share in np.linspace(0.005, 0.5, 100)
    )


class Family(NamedTuple):
    """Which differences a procedure shows at 5 %, of worst cases, cells at the headline eps, and others."""

    worst: list[bool]
    headline: list[bool]
    others: list[bool]


def grid(rng: np.random.Generator, n: int, better: float) -> Outcomes:
    """Which samples break at which eps: their ease is most of it, some is a model's own, some an attack's."""
    reached = (
        3.6
        + 1.07 * rng.standard_normal(n)
        + 0.54 * rng.standard_normal((3, n))
        + np.array([[0], [better], [better]])
    )
    correct, found = np.ones(n, dtype=bool), {}
    for name, own in zip("abc", reached, strict=True):
        needed = {attack: own + weaker + 0.3 * rng.standard_normal(n) for attack, weaker in WEAKER.items()}
        found[ModelId(name, 0)] = {
            AttackEps(a, Fraction(e, 255)): Outcome(correct, at < np.log2(e))
            for a, at in needed.items()
            for e in EPS
        }
    return found


def worst_cases(cells: Outcomes) -> Outcomes:
    where = AttackEps(WORST_CASE, HEADLINE)
    return {
        model: {where: Outcome(own[AttackEps("pgd", HEADLINE)].correct, broken(own))}
        for model, own in cells.items()
    }


def broken(own: dict[AttackEps, Outcome]) -> Bools:
    """By any attack at the headline eps."""
    found: Bools = np.logical_or.reduce([own[AttackEps(a, HEADLINE)].wrong for a in WEAKER])
    return found


def procedures(cells: Outcomes) -> Iterator[tuple[str, Family]]:
    worst = compare_models(worst_cases(cells), across=True, headline=HEADLINE)
    found = compare_models(cells, across=False, headline=HEADLINE)
    yield "exact, Holm", family(found, exact(worst), exact(found))
    yield (
        "mid-p, Holm",
        family(found, [c.robust.shown for c in worst], shown(holm([c.robust.p_value for c in found]))),
    )
    yield "shipped", family(found, [c.robust.shown for c in worst], [c.robust.shown for c in found])


def exact(found: tuple[Comparison, ...]) -> list[bool]:
    return shown(holm([_exact(c.robust) for c in found]))


def _exact(d: PairedDifference) -> float:
    return mcnemar(d.only_first, d.only_second)


def shown(adjusted: list[float]) -> list[bool]:
    return [p <= ALPHA for p in adjusted]


def family(found: tuple[Comparison, ...], worst: list[bool], cells: list[bool]) -> Family:
    at = [c.eps == HEADLINE for c in found]
    first, others = (
        [s for s, here in zip(cells, at, strict=True) if here == wanted] for wanted in (True, False)
    )
    return Family(worst, first, others)


def figures(n: int, draws: int) -> Iterator[tuple[str, list[float]]]:
    """Of each procedure: the family-wise errors of worst cases, cells and both; the power of each part where
    two are better.

    Pairs come as (b, a), (c, a), (c, b), each with all its cells, and the last is equal in both worlds.
    """
    rng = np.random.default_rng(n)
    equal, better = ([dict(procedures(grid(rng, n, gap))) for _ in range(draws)] for gap in (0.0, BETTER))
    for name in equal[0]:
        wrong = [(any(f.worst), any(f.headline + f.others)) for f in (world[name] for world in equal)]
        right = [[np.mean(part[: len(part) * 2 // 3]) for part in world[name]] for world in better]
        yield (
            name,
            [*np.mean(wrong, axis=0), float(np.mean([a or b for a, b in wrong])), *np.mean(right, axis=0)],
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    draws, console = parser.parse_args().draws, Console(width=110)
    alarms = Table(
        "test",
        "level",
        *map(str, SAMPLES),
        title="false alarms over the level, by samples",
        title_justify="left",
    )
    for name, test in (("exact", mcnemar), ("mid-p", mid_p)):
        for level in LEVELS:
            alarms.add_row(
                name, f"{level:.4f}", *(f"{worst_alarm(n, level, test) / level:.2f}" for n in SAMPLES)
            )
    console.print(alarms)
    columns = ("samples", "procedure", "worst", "cells", "either", "worst", "headline", "others")
    families = Table(
        *columns, title="family-wise error (3), and power at 10 points (3)", title_justify="left"
    )
    for n in (50, 150, 500):
        for name, row in figures(n, draws):
            families.add_row(str(n), name, *(f"{value:.3f}" for value in row))
    console.print(families)


if __name__ == "__main__":
    main()
