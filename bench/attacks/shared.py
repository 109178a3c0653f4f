"""What the answers to one question at several eps have in common.

It travels with the question, and ends with it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from torch import Tensor

T = TypeVar("T")


class Once(Generic[T]):
    """Something that is computed when it is first asked for, and then known."""

    def __init__(self) -> None:
        self._found: T | None = None

    def recall(self, compute: Callable[[], T]) -> T:
        """What ``compute`` gave the first time."""
        if self._found is None:
            self._found = compute()
        return self._found


@dataclass(frozen=True)
class Shared:
    """``gradient``: that of the loss at the images, where every descent without a random start begins.

    Each library keeps it in its own type. ``start``: a random point of the unit ball for each image; at each
    eps, as far away as eps is.
    """

    gradient: Once[Any] = field(default_factory=Once)
    start: Once[Tensor] = field(default_factory=Once)
