"""How much each control may cost, in passes through the model, so that it is the same on every machine."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from bench.attacks.spec import contract_of
from bench.engine.plan import Unit
from bench.scoring.trust import checks

Part = Literal["stronger attacks", "probes", "controls", "float32", "planted twins"]
"""A part of an examination, as it is shown; the longest first."""
PARTS: tuple[Part, ...] = get_args(Part)
PROBES_SHARE, CONTROLS_SHARE, NOISE_SHARE, PLANTED_SHARE = 0.024, 0.016, 0.016, 0.016
SECOND_SHARE, SEARCH_SHARE, SIBLING_SHARE = 0.026, 0.016, 0.004
"""Shares of the attacks' passes that the fast level spends on each kind of check.

They go to probes of the model, controls of the attacks, random search, planted twins, stronger attacks, a
search from where these end, and each sibling. Small batches take longer than their passes tell: on the
default suite it all takes 22 % of the attacks' time. The leaderboard prints it.
"""
PRECISION_SHARE = 0.05
"""Share for crafting again in float32 where a suite crafts in less, which gains it more than this costs."""
BACKWARD = 2
"""A backward pass counts as this many forward passes."""
DRAWS = 160
"""Random perturbations a sample, each chosen beside the best before."""
INNER = 127
"""Points around each sample that a planted twin must call harmless."""
FEW = 4
"""A pass of a few images takes as long as of this many times as many in a large batch: twins are few."""
DESCENT, TRANSFER = 33, 15
"""Passes of the stronger attack on one sample, of eleven steps, and of one on a sibling, of five."""
SQUARES = 96
"""Random squares that are tried on an image on which the stronger attack fails."""
MOST_LIGHT, MOST_NOISE, MOST_PLANTED, MOST_SECOND, MOST_SEARCHED, MOST_TRANSFERRED = 64, 6, 6, 64, 32, 32
LEAST_LIGHT, LEAST_NOISE, LEAST_PLANTED, LEAST_SECOND, LEAST_SEARCHED, LEAST_TRANSFERRED = 9, 4, 3, 24, 8, 12
"""What is tried however little the attacks cost.

With fewer samples, nothing that masks its gradients need show it. Of three twins, two must be missed for an
attack to fail.
"""
CHEAP = 0.03
"""A cheaper attack has controls as if it took this share of the passes: of few, few are broken."""
CONTROLS = 2
"""Attacks that the controls of one sample cost: its own, and of every third three more."""
FEWEST_PROBED, MOST_PROBED = 8, 12
FULL_LIGHT, FULL_NOISE, FULL_PLANTED, FULL_PROBED = 128, 16, 16, 16
FULL_SECOND, FULL_SEARCHED, FULL_TRANSFERRED = 1000, 64, 64
MOST_PRECISION = 256


@dataclass(frozen=True)
class Effort:
    """Which attacks get controls, each on how many samples; how many samples get noise, a twin, and probes.

    ``second``: on how many stronger attacks are tried, ``searched`` a search from where they fail, and
    ``transferred`` those on a sibling, unless they find something. ``precision``: which attacks are carried
    out again in float32, each on how many samples.
    """

    light: dict[Unit, int]
    noise: int
    planted: int
    probed: int = MOST_PROBED
    second: int = LEAST_SECOND
    searched: int = LEAST_SEARCHED
    transferred: int = LEAST_TRANSFERRED
    precision: dict[Unit, int] = field(default_factory=dict)


def plan_effort(level: Literal["off", "fast", "full"], costs: dict[Unit, int], attacked: int) -> Effort:
    """The effort for one model, from the passes of each unit's attack and how many samples were ``attacked``.

    Fast: one library stands for each attack. What its share of the passes is too small for, it does on the
    least samples all the same: a check that could not have failed proves nothing.
    """
    if level == "full":
        every, again = (dict.fromkeys(costs, count) for count in (FULL_LIGHT, MOST_PRECISION))
        model = FULL_NOISE, FULL_PLANTED, FULL_PROBED
        return Effort(every, *model, FULL_SECOND, FULL_SEARCHED, FULL_TRANSFERRED, again)
    light, once, precision, total = {}, 0.0, {}, sum(costs.values())
    for unit in _one_library_each(list(costs)):
        same = [c for u, c in costs.items() if u.attack == unit.attack]
        runs = len(unit.cells) if contract_of(unit.attack).budget == "fixed" else 1
        each = costs[unit] / max(runs * attacked, 1)
        share = CONTROLS_SHARE * max(sum(same), CHEAP * total)
        light[unit] = _affordable(share, CONTROLS * each, LEAST_LIGHT, MOST_LIGHT)
        precision[unit] = _affordable(PRECISION_SHARE * sum(same), 3 * each, LEAST_LIGHT, MOST_PRECISION)
        once += each
    norms = len({unit.attack.norm for unit in costs})
    probes = sum(check.cost for check in checks().values() if check.of == "model")
    return Effort(
        light,
        noise=_affordable(NOISE_SHARE * total, DRAWS * norms, LEAST_NOISE, MOST_NOISE),
        planted=_affordable(PLANTED_SHARE * total, INNER * norms + FEW * once, LEAST_PLANTED, MOST_PLANTED),
        probed=_affordable(PROBES_SHARE * total, probes, FEWEST_PROBED, MOST_PROBED),
        precision=precision,
        second=_affordable(SECOND_SHARE * total, DESCENT * norms, LEAST_SECOND, MOST_SECOND),
        searched=_affordable(SEARCH_SHARE * total, SQUARES, LEAST_SEARCHED, MOST_SEARCHED),
        transferred=_affordable(SIBLING_SHARE * total, TRANSFER * norms, LEAST_TRANSFERRED, MOST_TRANSFERRED),
    )


def _one_library_each(units: list[Unit]) -> list[Unit]:
    first: dict[str, Unit] = {}
    for unit in units:
        first.setdefault(unit.attack.label, unit)
    return list(first.values())


def _affordable(budget: float, each: float, least: int, most: int) -> int:
    return max(least, min(int(budget / max(each, 1)), most))
