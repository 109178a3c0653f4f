"""Exact perturbation budgets: "8/255", "0.03" and 1e-3 are read as fractions, once."""

import math
import re
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

WRITTEN = re.compile(r"[+-]?\d{1,20}(\.\d{0,20})?(e[+-]?\d{1,2})?(/\d{1,20})?", re.ASCII | re.IGNORECASE)
"""Bounded, since the exact fraction of 1e999999999 would fill any memory."""


def parse_eps(value: Any) -> Fraction:
    """``value`` as an exact positive fraction. Raises a validation error that shows how eps is written."""
    if isinstance(value, Fraction):
        return value
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError
        text = str(value).replace(" ", "")
        if not WRITTEN.fullmatch(text):
            raise ValueError
        eps = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise _error(
            "'{value}' is not a number; write eps as a fraction of the pixel range, like '8/255'", value
        ) from None
    if eps <= 0:
        raise _error(
            "{value} is not positive; write eps like '8/255' (the clean accuracy is always reported)", value
        )
    return eps


def _error(message: str, value: object) -> PydanticCustomError:
    return PydanticCustomError("eps", message, {"value": str(value)[:40]})


def eps_text(eps: Fraction) -> str:
    """``eps`` as people write it: a short decimal or 255ths where it is one, else the fraction that it is."""
    decimal = f"{float(eps):.12g}"
    if Fraction(decimal) == eps:
        return decimal
    return f"{eps * 255}/255" if 255 % eps.denominator == 0 else str(eps)


Eps = Annotated[
    Fraction,
    BeforeValidator(parse_eps),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {"type": ["string", "number"], "description": "A budget on the [0, 1] pixel scale, like '8/255'."}
    ),
]
