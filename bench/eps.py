"""Perturbation budgets as suites and cells have them; how one is read and written is in adapters.eps."""

from fractions import Fraction
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from adapters.eps import Eps, eps_text, parse_eps

__all__ = ["Eps", "EpsGrid", "eps_text", "eps_to_json", "parse_eps"]


def eps_to_json(value: object) -> str:
    """The ``default`` of json.dumps: an eps is stored exactly, as a fraction in lowest terms ("4/85")."""
    if isinstance(value, Fraction):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be stored as JSON")


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | int | float) else value


EpsGrid = Annotated[tuple[Eps, ...], Field(min_length=1), BeforeValidator(_as_list)]
"""One eps or several."""
