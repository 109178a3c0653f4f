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


def share(value: float) -> str:
    """0.4125 as 41.2: a share in percent."""
    return f"{100 * value:.1f}"


def points(difference: float) -> str:
    """-0.025 as -2.5: a difference of shares in points."""
    return f"{100 * difference:+.1f}"


def p_value(p: float) -> str:
    """A p-value with two significant digits, or as below what anybody reads."""
    return "<0.0001" if p < 1e-4 else f"{p:.2g}"
