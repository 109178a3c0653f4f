"""False alarms, coverage and power over training seeds, of what is shipped and of its rivals: models whose
truth is known.

``python -m tests.benchmarks.seeds`` prints one line per method and number of seeds: the share of false alarms
(two equal methods, p <= .05), how often the 95 % interval holds the true difference, and how often a true
difference of 10 points is found. Over 50 to 1,000 samples, training that moves accuracy by a standard
deviation of 0 to 5 points, accuracies from .1 to .95, and answers that are shared between all trainings,
between those of one method, or by none. Each figure has its mean and its worst over these; with 1,000 draws
the worst of a few hundred lies some 1.5 points beyond the truth by chance alone.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from scipy.special import expit, ndtri, stdtrit

from bench.scoring.statistics import across_seeds, mean_difference

Draws = npt.NDArray[np.float64]
"""Draws x methods x training seeds x samples."""
Interval = tuple[Draws, Draws]
SAMPLES, SEEDS, TRAINING, ACCURACY = (
    (50, 150, 500, 1000),
    (2, 3, 4, 5),
    (0, 0.01, 0.03, 0.05),
    (0.1, 0.5, 0.8, 0.95),
)
SHARED = ((0.0, 0.0), (0.6, 0.0), (0.9, 0.0), (0.6, 0.3))
"""Of what decides answers, the sample's part, and the sample's in one method; the rest is each training's."""
GAP = 0.1
RESAMPLES = 200


class World(NamedTuple):
    """Two methods, several trainings, the same samples; ``gap``: the first's true accuracy minus the other's.

    ``untrained``: the second gives the same answers at every seed.
    """

    samples: int
    seeds: int
    training: float
    accuracy: float
    shared: tuple[float, float]
    untrained: bool = False

    def latent(self, rng: np.random.Generator, draws: int, gap: float) -> Draws:
        """An answer is right where this is negative."""
        n, (common, own) = self.samples, self.shared
        z = (
            rng.standard_normal((draws, 1, 1, n)) * common**0.5
            + rng.standard_normal((draws, 2, 1, n)) * own**0.5
        )
        z = z + rng.standard_normal((draws, 2, self.seeds, n)) * (1 - common - own) ** 0.5
        luck = rng.standard_normal((draws, 2, self.seeds, 1))
        if self.untrained:
            z[:, 1], luck[:, 1] = z[:, 1, :1], 0
        found: Draws = z - ndtri(self.reached(luck, gap))
        return found

    def reached(self, luck: Draws, gap: float) -> Draws:
        """The accuracy of each training, by how lucky it is."""
        accuracies = np.array([self.accuracy, self.accuracy - gap])[None, :, None, None]
        reached: Draws = (accuracies + self.training * luck).clip(1e-9, 1 - 1e-9)
        return reached


def accuracy(latent: Draws, _: np.random.Generator) -> Draws:
    return (latent < 0).astype(np.float64)


def certainty(latent: Draws, _: np.random.Generator) -> Draws:
    found: Draws = expit(-2 * latent)
    return found


def success_rate(latent: Draws, rng: np.random.Generator) -> Draws:
    """Of the 85 % of samples that a training gets right, mostly the same ones, those that are broken."""
    draws, methods, seeds, n = latent.shape
    ease = (
        rng.standard_normal((draws, 1, 1, n)) * 0.8**0.5
        + rng.standard_normal((draws, methods, seeds, n)) * 0.2**0.5
    )
    return np.where(ease < ndtri(0.85), latent < 0, np.nan)


def squares(table: Draws) -> tuple[Draws, Draws, Draws]:
    """Mean squares of seeds, samples and the rest."""
    seeds, n = table.shape[-2:]
    rows, columns = table.mean(-1, keepdims=True), table.mean(-2, keepdims=True)
    rest = ((table - rows - columns + table.mean((-2, -1), keepdims=True)) ** 2).sum((-2, -1)) / (
        (seeds - 1) * (n - 1)
    )
    return n * rows.var(-2, ddof=1)[..., 0], seeds * columns.var(-1, ddof=1)[..., 0], rest


def rivals(answers: Draws) -> dict[str, Interval]:
    """Interval of the first minus the second by each method that was tried."""
    table = answers[:, 0] - answers[:, 1]
    _, seeds, n = table.shape
    mean, (s, a, r), df = table.mean((1, 2)), squares(table), (seeds - 1, n - 1, (seeds - 1) * (n - 1))
    apart = squares(answers[:, 0])[0] + squares(answers[:, 1])[0]

    def interval(total: Draws, degrees: Draws) -> Interval:
        half = stdtrit(np.maximum(degrees, 1), 0.975) * np.sqrt(np.maximum(total, 0) / (seeds * n))
        return mean - half, mean + half

    with np.errstate(divide="ignore", invalid="ignore"):
        added = interval(s + a, np.nan_to_num((s + a) ** 2 / (s**2 / df[0] + a**2 / df[1])))
        anova = np.nan_to_num((s + a - r) ** 2 / (s**2 / df[0] + a**2 / df[1] + r**2 / df[2]))
        largest = np.maximum.reduce([s + a - r, s, a])
        floored = np.maximum.reduce([apart + a - r, apart, a])
        trained_apart = np.nan_to_num(floored**2 / (apart**2 / (2 * df[0])))
    return {
        "t, seeds - 1": interval(s + a, np.full_like(s, df[0])),
        "sum, Satterthwaite": added,
        "ANOVA, Satterthwaite": interval(s + a - r, anova),
        "largest component": interval(largest, np.where(largest == a, df[1], df[0])),
        "apart, Satterthwaite": interval(floored, trained_apart),
        "bootstrap": bootstrap(table),
    }


def bootstrap(table: Draws) -> Interval:
    """Seeds and samples drawn again (Owen's pigeonhole bootstrap), the same draws for every table."""
    rng, (_, seeds, n) = np.random.default_rng(0), table.shape
    s, a = (rng.multinomial(size, np.full(size, 1 / size), RESAMPLES) / size for size in (seeds, n))
    low, high = np.percentile(np.einsum("bs,rsn,bn->rb", s, table, a, optimize=True), [2.5, 97.5], axis=1)
    return low, high


def shipped(answers: Draws) -> Interval:
    found = [mean_difference(*pair) for pair in answers]
    return np.array([d.low for d in found]), np.array([d.high for d in found])


def single(answers: Draws) -> Interval:
    found = [across_seeds(pair[0]) for pair in answers]
    return np.array([d.low for d in found]), np.array([d.high for d in found])


class Figures(NamedTuple):
    alarm: float
    covered: float
    power: float


def figures(
    world: World, draws: int, quantity: Callable[[Draws, np.random.Generator], Draws]
) -> Iterator[tuple[str, Figures]]:
    """Each method's figures in ``world``; the rivals' only where every sample counts."""
    rng = np.random.default_rng(hash(world) % 2**32)
    gap = GAP if world.accuracy > GAP else -GAP
    null, other = (quantity(world.latent(rng, draws, g), rng) for g in (0.0, gap))
    many = [quantity(world.latent(rng, 200_000 // world.samples, g), rng) for g in (0.0, gap)]
    truth = float(np.nanmean(many[1][:, 0]) - np.nanmean(many[1][:, 1]))
    both = [{"shipped": shipped(x), **(rivals(x) if quantity is accuracy else {})} for x in (null, other)]
    for name, (low, high) in both[0].items():
        found_low, found_high = both[1][name]
        yield (
            name,
            Figures(
                outside(low, high, 0),
                1 - outside(found_low, found_high, truth),
                outside(found_low, found_high, 0),
            ),
        )
    if quantity is not certainty:
        yield "one method", Figures(np.nan, 1 - outside(*single(null), float(np.nanmean(many[0]))), np.nan)


def outside(low: Draws, high: Draws, value: float) -> float:
    return float(((low > value) | (high < value)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--samples", type=int, nargs="+", default=SAMPLES)
    draws, samples = parser.parse_args().draws, parser.parse_args().samples
    for quantity, untrained in (
        (accuracy, False),
        (accuracy, True),
        (success_rate, False),
        (certainty, False),
    ):
        found: dict[tuple[str, int], list[Figures]] = defaultdict(list)
        for world in (
            World(*facts, untrained) for facts in product(samples, SEEDS, TRAINING, ACCURACY, SHARED)
        ):
            for name, figure in figures(world, draws, quantity):
                found[name, world.seeds].append(figure)
        table = Table(title=quantity.__name__ + ", only one method trained" * untrained, title_justify="left")
        for column in ("method", "seeds", "false alarms, worst", "covered, least", "power"):
            table.add_column(column, justify="left" if column == "method" else "right")
        for (name, seeds), rows in found.items():
            alarm, covered, power = np.array(rows).T
            alarms = f"{alarm.mean():.3f}, {alarm.max():.3f}"
            table.add_row(
                name, str(seeds), alarms, f"{covered.mean():.3f}, {covered.min():.3f}", f"{power.mean():.2f}"
            )
        Console(width=100).print(table)


if __name__ == "__main__":
    main()
