"""How a library's defect is mended where nothing can be overridden: its function runs with other globals."""

from collections.abc import Callable
from types import FunctionType
from typing import Any


def rebound(function: Callable[..., Any], **names: Any) -> Any:
    """``function`` itself, seeing ``names`` in place of its module's globals. Nothing is patched."""
    if not isinstance(function, FunctionType):
        raise TypeError(f"{function!r} is not a plain function")
    return FunctionType(
        function.__code__,
        {**function.__globals__, **names},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )


class AttributeOverride:
    """``original`` with some attributes replaced."""

    def __init__(self, original: Any, **replaced: Any) -> None:
        self._original = original
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)
