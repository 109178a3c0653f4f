"""Numbers as people read them, one way for each kind; how an eps is read and written is in bench.eps."""

from collections.abc import Callable

NONE = "–"
"""Stands for a number that there is none of."""
MARKS: dict[str, str] = {"pass": "", "unchecked": "?", "warn": "!", "fail": "✗"}
"""What stands behind a number that is not fully trusted."""


def share(value: float) -> str:
    """0.4125 as 41.2: a share in percent."""
    return f"{100 * value:.1f}"


def share_with_interval(value: float, low: float, high: float) -> str:
    """92.5 [88, 95]: a share and its interval, in percent."""
    return f"{100 * value:.1f} [{100 * low:.0f}, {100 * high:.0f}]"


def points(share: float) -> str:
    """+1.2: a difference in percentage points."""
    return f"{100 * share:+z.1f}"


def signed(value: float) -> str:
    """+0.012: a difference of two numbers."""
    return f"{value:+z.3f}"


def interval(low: float, high: float, text: Callable[[float], str] = points) -> str:
    """[-1.2, +3.4]: the interval of a difference."""
    return f"[{text(low)}, {text(high)}]"


def number(value: float | None) -> str:
    """0.912, or a dash."""
    return NONE if value is None else f"{value:.3f}"


def p_value(p: float) -> str:
    """How a p-value is shown: p = 0.41, or p < 0.001."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def short_p(p: float) -> str:
    """A p-value with two significant digits, or as below what anybody reads."""
    return "<0.0001" if p < 1e-4 else f"{p:.2g}"


def first_line(said: str) -> str:
    """The first line of ``said``; torch's errors have dozens, which the JSON keeps."""
    line, _, more = said.strip().partition("\n")
    return f"{line} […]" if more else line
