"""Numbers as people read them."""

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from fractions import Fraction
from typing import Any, TypeVar

from bench.comparison.verdict import Outcome
from bench.eps import eps_text
from bench.ids import ModelId
from bench.scoring.statistics import AcrossSeeds, Proportion
from bench.scoring.trust import Grade
from bench.text import MARKS, NONE, share_with_interval

T = TypeVar("T")
SIGNIFICANT = 10
"""Digits of a number in JSON and CSV: beyond them two machines' libraries may differ."""
LEADERBOARD_VERSION = 2
"""Of what ``bench run`` prints as JSON. 2: a cross-check names its two libraries, as there may be more."""
VERDICT_VERSION = 1
"""Of what ``bench compare A B`` prints as JSON."""
GLYPHS: dict[Outcome, tuple[str, str]] = {
    "failed": ("✗", "bold red"), "changed": ("!", "yellow"), "not shown": ("~", "dim"), "same": ("=", "dim")
}  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def percent(p: Proportion | None, trust: Grade = "pass") -> str:
    """92.5 [88, 95]: a share and its interval, in percent, marked unless it can be trusted."""
    if p is None or math.isnan(p.value):
        return NONE
    return share_with_interval(p.value, p.low, p.high) + MARKS[trust]


def spread(s: AcrossSeeds) -> str:
    """92.5 ± 1.2: mean and standard deviation over training seeds, in percent."""
    return f"{100 * s.mean:.1f} ± {100 * s.spread:.1f}"


def across(s: AcrossSeeds | None, trust: Grade = "pass") -> tuple[str, str]:
    """("92.5 ± 1.2", "[88, 95]"): over training seeds, and the interval with training variation.

    The interval is marked unless trusted.
    """
    return (NONE, "") if s is None else (spread(s), f"[{100 * s.low:.0f}, {100 * s.high:.0f}]{MARKS[trust]}")


def csv_row(row: dict[str, Any]) -> dict[str, Any]:
    """``row`` with what a spreadsheet would take for a formula marked as text (OWASP, CSV injection)."""
    return {name: f"'{v}" if isinstance(v, str) and v.startswith(FORMULA) else v for name, v in row.items()}


def markdown(text: str) -> str:
    """``text`` as it is read, whatever a page would make of it: markup, a column, a link, a picture."""
    return (
        html.escape(" ".join(text.split()), quote=False)
        .replace("|", "\\|")
        .replace("](", "]\\(")
        .replace("`", "\\`")
    )


def plain(value: float | None) -> float | None:
    """``value`` for a machine: NaN and infinity, which JSON lacks, become None."""
    return None if value is None or not math.isfinite(value) else value


def flat(data: Any) -> dict[str, Any]:
    """The fields of the dataclass ``data`` for a machine: a model as name and seed, an eps as written."""
    found: dict[str, Any] = {}
    for name, value in ((f.name, getattr(data, f.name)) for f in fields(data)):
        if isinstance(value, ModelId):
            found |= {"model": value.name, "seed": value.seed}
        elif isinstance(value, Fraction):
            found[name] = eps_text(value)
        elif is_dataclass(value):
            found[name] = flat(value)
        else:
            found[name] = plain(value) if isinstance(value, float) else value
    return found


def rounded(value: Any) -> Any:
    """``value`` for a machine, with every number in it to as many digits as two machines agree on."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return float(f"{value:.{SIGNIFICANT}g}") if isinstance(value, float) else value


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """``items`` in parts of at most ``size``."""
    for i in range(0, len(items), size):
        yield items[i : i + size]
