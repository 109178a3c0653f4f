"""How much each control may cost, counted in passes through the model, so that it is the same on every machine."""

from dataclasses import dataclass, field
from typing import Literal

from bench.attacks.spec import contract_of
from bench.plan import Unit

PROBES_SHARE, CONTROLS_SHARE, NOISE_SHARE, PLANTED_SHARE = 0.03, 0.019, 0.03, 0.019
"""Shares of the attacks' passes that the fast level spends on probes of the model, on controls of the attacks, on noise and on
planted twins. Small batches take longer than their passes tell: on the default suite it all takes 14 to 15 % of the attacks'
time, on larger ones 7 to 12 %. The leaderboard prints it."""
PRECISION_SHARE = 0.05
"""Share that goes to crafting again in float32 where a suite crafts in less, which a suite gains more by than it costs."""
BACKWARD = 2
"""A backward pass counts as this many forward passes."""
DRAWS = 500
"""Random perturbations a sample (Carlini et al. 2019 ask for brute force where gradients may fail)."""
INNER = 127
"""Points around each sample that a planted twin must call harmless."""
PROBE = 40
"""Passes that the probes of one sample take, most of them for instability."""
FEW = 4
"""A pass of a few images takes as long as of this many times as many in a large batch: twins are few."""
MOST_LIGHT, MOST_NOISE, MOST_PLANTED = 64, 6, 6
LEAST_PLANTED = 3
"""Twins of which two must be missed for the attack to fail."""
CHEAP = 0.03
"""An attack that takes less than this share of the passes has controls as if it took so much: of few, few are broken."""
CONTROLS = 2
"""Attacks that the controls of one sample cost: its own, and of every third three more."""
FEWEST_PROBED, MOST_PROBED = 4, 16
FULL_LIGHT, FULL_NOISE, FULL_PLANTED = 128, 16, 16
MOST_PRECISION = 256


@dataclass(frozen=True)
class Effort:
    """Which attacks get controls, each on how many samples; how many samples get noise, a twin, and probes.

    ``precision``: which attacks are carried out again in float32, each on how many samples.
    """

    light: dict[Unit, int]
    noise: int
    planted: int
    probed: int = MOST_PROBED
    precision: dict[Unit, int] = field(default_factory=dict)


def plan_effort(level: Literal["off", "fast", "full"], costs: dict[Unit, int], attacked: int) -> Effort:
    """The effort for one model, from the passes that each unit's attack cost and how many samples were ``attacked``.

    Fast: one library stands for each attack; what cannot afford two samples (planted twins: three) gets none.
    """
    if level == "full":
        again = dict.fromkeys(costs, MOST_PRECISION)
        return Effort(dict.fromkeys(costs, FULL_LIGHT), FULL_NOISE, FULL_PLANTED, precision=again)
    light, once, precision, total = {}, 0.0, {}, sum(costs.values())
    for unit in _one_library_each(list(costs)):
        same = [c for u, c in costs.items() if u.attack == unit.attack]
        runs = len(unit.cells) if contract_of(unit.attack).budget == "fixed" else 1
        each = costs[unit] / max(runs * attacked, 1)
        light[unit] = _affordable(CONTROLS_SHARE * max(sum(same), CHEAP * total), CONTROLS * each, MOST_LIGHT)
        precision[unit] = _affordable(PRECISION_SHARE * sum(same), 3 * each, MOST_PRECISION)
        once += each
    norms = len({unit.attack.norm for unit in costs})
    return Effort(
        light,
        noise=_affordable(NOISE_SHARE * total, DRAWS * norms, MOST_NOISE),
        planted=_affordable(PLANTED_SHARE * total, INNER * norms + FEW * once, MOST_PLANTED, least=LEAST_PLANTED),
        probed=max(_affordable(PROBES_SHARE * total, PROBE, MOST_PROBED), FEWEST_PROBED),
        precision=precision,
    )


def _one_library_each(units: list[Unit]) -> list[Unit]:
    first: dict[str, Unit] = {}
    for unit in units:
        first.setdefault(unit.attack.label, unit)
    return list(first.values())


def _affordable(budget: float, each: float, most: int, *, least: int = 2) -> int:
    count = min(int(budget / max(each, 1)), most)
    return count if count >= least else 0
