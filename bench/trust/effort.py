"""How much each control may cost, counted in passes through the model, so that it is the same on every machine."""

from dataclasses import dataclass, field
from typing import Literal

from bench.attacks.spec import contract_of
from bench.plan import Unit

CONTROLS_SHARE, HEAVY_SHARE = 0.025, 0.045
"""Shares of the attacks' passes that the fast level spends on controls of the attacks, and on noise and planted twins. With
probes and loading, that stays under the 15 % of the attacks' time that users are promised."""
PRECISION_SHARE = 0.05
"""Share that goes to crafting again in float32 where a suite crafts in less, which a suite gains more by than it costs."""
BACKWARD = 2
"""A backward pass counts as this many forward passes."""
DRAWS = 1000
"""Random perturbations a sample (Carlini et al. 2019 ask for brute force where gradients may fail)."""
INNER = 127
"""Points around each sample that a planted twin must call harmless."""
MOST_LIGHT, MOST_HEAVY, MOST_PRECISION = 32, 6, 256
FULL_LIGHT, FULL_HEAVY = 64, 16


@dataclass(frozen=True)
class Effort:
    """Which attacks get controls, each on how many samples, and how many samples get random noise and a planted twin.

    ``precision``: which attacks are carried out again in float32, each on how many samples.
    """

    light: dict[Unit, int]
    heavy: int
    precision: dict[Unit, int] = field(default_factory=dict)


def plan_effort(level: Literal["off", "fast", "full"], costs: dict[Unit, int], attacked: int) -> Effort:
    """The effort for one model, from the passes that each unit's attack cost and how many samples were ``attacked``.

    Fast: one library stands for each attack; what cannot afford two samples is left out.
    """
    if level == "full":
        return Effort(dict.fromkeys(costs, FULL_LIGHT), FULL_HEAVY, dict.fromkeys(costs, MOST_PRECISION))
    light, precision = {}, {}
    for unit in _one_library_each(list(costs)):
        same = [c for u, c in costs.items() if u.attack == unit.attack]
        runs = len(unit.cells) if contract_of(unit.attack).budget == "fixed" else 1
        each = costs[unit] / max(runs * attacked, 1)
        light[unit] = _affordable(CONTROLS_SHARE * sum(same), 4 * each, MOST_LIGHT)
        precision[unit] = _affordable(PRECISION_SHARE * sum(same), 3 * each, MOST_PRECISION)
    draws = DRAWS * len({unit.attack.norm for unit in costs})
    return Effort(light, _affordable(HEAVY_SHARE * sum(costs.values()), draws + INNER, MOST_HEAVY), precision)


def _one_library_each(units: list[Unit]) -> list[Unit]:
    first: dict[str, Unit] = {}
    for unit in units:
        first.setdefault(unit.attack.label, unit)
    return list(first.values())


def _affordable(budget: float, each: float, most: int) -> int:
    count = min(int(budget / max(each, 1)), most)
    return count if count > 1 else 0
