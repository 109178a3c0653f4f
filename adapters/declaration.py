"""The base of every declared object: frozen, and an unknown key is an error that suggests the known one."""

import difflib
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError


def did_you_mean(word: str, known: list[str]) -> str:
    """``word``'s nearest known spelling as a hint, or the list of what is known."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(sorted(known))}"


class Declaration(BaseModel):
    """A frozen declaration.

    Raises a validation error for a key that it does not have, naming the nearest that it has.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    hint = did_you_mean(str(key), list(cls.model_fields))
                    raise PydanticCustomError(
                        "unknown_key", "unknown key '{key}'; {hint}", {"key": key, "hint": hint}
                    )
        return data
