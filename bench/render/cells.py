"""Numbers as people read them."""

import math

from bench.scoring.statistics import Proportion

NONE = "–"


def percent(p: Proportion | None) -> str:
    """92.5 % [88, 95]: a share and its interval, in percent."""
    if p is None or math.isnan(p.value):
        return NONE
    return f"{100 * p.value:.1f} [{100 * p.low:.0f}, {100 * p.high:.0f}]"


def number(value: float | None) -> str:
    """0.912, or a dash."""
    return NONE if value is None else f"{value:.3f}"


def plain(value: float | None) -> float | None:
    """``value`` for a machine: NaN, which JSON lacks, becomes None."""
    return None if value is None or math.isnan(value) else value
