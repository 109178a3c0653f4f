"""About what an attack asks of a network, as its parameters tell."""

from dataclasses import dataclass
from math import prod, sqrt

from bench.attacks.attack import Attack
from bench.attacks.black_box import GeoDa, HopSkipJump, Noise, SimBa, Spatial, Zoo
from bench.attacks.spec import contract_of
from bench.attacks.white_box import Arc

REPEATED = ("steps", "restarts", "binary_search_steps")
"""Parameters of attacks that multiply what they cost."""
SEARCH = 18
"""Queries of a binary search for the boundary."""


@dataclass(frozen=True)
class Cost:
    """What an attack asks of the network for one image, at most: gradients, or answers alone."""

    gradients: int = 0
    queries: int = 0


def cost(attack: Attack) -> Cost:
    """About what ``attack`` costs, at one eps if each is an attack of its own."""
    if attack.members:
        parts = [cost(member) for member in attack.members]
        return Cost(sum(part.gradients for part in parts), sum(part.queries for part in parts))
    count = _passes(attack)
    return Cost(gradients=count) if contract_of(attack).access == "white-box" else Cost(queries=count)


def _passes(attack: Attack) -> int:
    match attack:
        case HopSkipJump():
            grown = (attack.initial_evaluations * sqrt(step + 1) for step in range(attack.steps))
            return round(sum(min(asked, attack.max_evaluations) + SEARCH for asked in grown))
        case Zoo():
            return 2 * attack.coordinates * attack.steps * attack.binary_search_steps
        case GeoDa():
            return attack.queries
        case SimBa():
            return 2 * attack.steps
        case Noise():
            return attack.repeats
        case Spatial():
            return attack.shifts**2 * attack.rotations
        case Arc():
            return attack.steps * attack.candidates
    return prod(int(getattr(attack, name, 1)) for name in REPEATED)
