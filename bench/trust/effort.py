"""How much each control may cost, counted in passes through the model, so that it is the same on every machine."""

from dataclasses import dataclass
from typing import Literal

from bench.attacks.spec import contract_of
from bench.plan import Unit

PROBES_SHARE, CONTROLS_SHARE, HEAVY_SHARE = 0.03, 0.025, 0.045
"""Shares of the attacks' passes that the fast level spends on probes of the model, on controls of the attacks, and on noise and
planted twins. Small batches take longer than their passes tell; still, that stays under the 15 % of the attacks' time that
users are promised, but for suites so small that the fewest probes are more."""
BACKWARD = 2
"""A backward pass counts as this many forward passes."""
DRAWS = 1000
"""Random perturbations a sample (Carlini et al. 2019 ask for brute force where gradients may fail)."""
INNER = 127
"""Points around each sample that a planted twin must call harmless."""
PROBE = 40
"""Passes that the probes of one sample take, most of them for instability."""
MOST_LIGHT, MOST_HEAVY = 32, 6
FEWEST_PROBED, MOST_PROBED = 4, 16
FULL_LIGHT, FULL_HEAVY = 64, 16


@dataclass(frozen=True)
class Effort:
    """Which attacks get controls, each on how many samples; how many get noise and a planted twin; how many the probes."""

    light: dict[Unit, int]
    heavy: int
    probed: int = MOST_PROBED


def plan_effort(level: Literal["off", "fast", "full"], costs: dict[Unit, int], attacked: int) -> Effort:
    """The effort for one model, from the passes that each unit's attack cost and how many samples were ``attacked``.

    Fast: one library stands for each attack; what cannot afford two samples is left out.
    """
    if level == "full":
        return Effort(dict.fromkeys(costs, FULL_LIGHT), FULL_HEAVY)
    light = {}
    for unit in _one_library_each(list(costs)):
        same = [c for u, c in costs.items() if u.attack == unit.attack]
        runs = len(unit.cells) if contract_of(unit.attack).budget == "fixed" else 1
        each = costs[unit] / max(runs * attacked, 1)
        light[unit] = _affordable(CONTROLS_SHARE * sum(same), 4 * each, MOST_LIGHT)
    total = sum(costs.values())
    draws = DRAWS * len({unit.attack.norm for unit in costs})
    probed = max(_affordable(PROBES_SHARE * total, PROBE, MOST_PROBED), FEWEST_PROBED)
    return Effort(light, _affordable(HEAVY_SHARE * total, draws + INNER, MOST_HEAVY), probed=probed)


def _one_library_each(units: list[Unit]) -> list[Unit]:
    first: dict[str, Unit] = {}
    for unit in units:
        first.setdefault(unit.attack.label, unit)
    return list(first.values())


def _affordable(budget: float, each: float, most: int) -> int:
    count = min(int(budget / max(each, 1)), most)
    return count if count > 1 else 0
