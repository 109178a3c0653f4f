"""How the time of an attack grows with samples, steps, eps and models: ``python -m tests.benchmarks.growth``.

Each line is a straight line fitted to the medians of three calls: what one more costs, what any call costs,
and how much of the variation the line explains.
"""

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

import numpy as np

from bench.attacks.spec import Pgd
from bench.engine.plan import Cell, Unit
from bench.engine.prepare import prepare
from bench.engine.runner import Target, run_unit
from bench.ids import ModelId
from tests.benchmarks.models import known, make_classifier

SIDE, ROUNDS = 32, 3
EPS = [Fraction(n, 2550) for n in range(1, 9)]


@dataclass(frozen=True)
class Amount:
    """How much is attacked: ``eps`` budgets, PGD of ``steps`` steps, ``samples``, for each of ``models``."""

    samples: int = 32
    steps: int = 5
    eps: int = 1
    models: int = 1


AXES: dict[str, tuple[int, ...]] = {
    "samples": (32, 64, 128, 256), "steps": (5, 10, 20, 40), "eps": (1, 2, 4, 8), "models": (1, 2, 4)
}  # fmt: skip


def attack(target: Target, amount: Amount) -> None:
    """Attack as much as ``amount`` says."""
    cells = tuple(Cell(eps, str(eps)) for eps in EPS[: amount.eps])
    unit = Unit(ModelId("m", 0), Pgd(attack="pgd", steps=amount.steps, rel_step_size=0.25), "foolbox", cells)
    for _ in range(amount.models):
        run_unit(unit, target.only(np.arange(amount.samples)))


def seconds(work: Callable[[], None]) -> float:
    """CPU time of one call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def line(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Slope, intercept and R squared of the least-squares line."""
    slope, intercept = np.polyfit(x, y, 1)
    left = y - (slope * x + intercept)
    return float(slope), float(intercept), 1 - float((left**2).sum() / ((y - y.mean()) ** 2).sum())


def main() -> None:
    """Print the fit along each axis."""
    classifier = make_classifier(SIDE, lora=False, device="cpu")
    target = prepare(classifier, known(classifier, SIDE, max(AXES["samples"])), 32, "fp32")
    attack(target, Amount())
    print(f"\nGrowth of PGD through Foolbox, ResNet18, {SIDE} px, from {Amount()}\n")
    print(
        "| | values | median s | s for one more | s for any call | R² |\n| --- | --- | --- | ---: | ---: |"
        " ---: |"
    )
    for axis, values in AXES.items():
        taken: dict[int, list[float]] = {value: [] for value in values}
        for _, value in itertools.product(range(ROUNDS), values):
            taken[value].append(seconds(partial(attack, target, replace(Amount(), **{axis: value}))))
        medians = [statistics.median(taken[value]) for value in values]
        slope, intercept, explained = line(np.array(values), np.array(medians))
        shown = ", ".join(f"{m:.2f}" for m in medians)
        print(
            f"| {axis} | {values} | {shown} | {slope:.4f} | {intercept:+.3f} | {explained:.4f} |", flush=True
        )


if __name__ == "__main__":
    main()
