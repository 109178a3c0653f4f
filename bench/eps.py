"""Perturbation budgets as suites and cells have them; how one is read and written is in adapters.eps."""

from fractions import Fraction
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from adapters.eps import Eps, eps_text, parse_eps

__all__ = ["Eps", "EpsGrid", "eps_text", "parse_eps", "shown_eps"]


def shown_eps(stored: str) -> str:
    """The eps of a cell, which is ``stored`` as a fraction in lowest terms ("4/85"), as people write it ("12/255")."""
    return eps_text(Fraction(stored))


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | int | float) else value


EpsGrid = Annotated[tuple[Eps, ...], Field(min_length=1), BeforeValidator(_as_list)]
"""One eps or several."""
