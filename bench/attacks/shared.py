"""What the answers to one question at several eps have in common.

It travels with the question, and ends with it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


class Once:
    """Something that is computed when it is first asked for, and then known."""

    def __init__(self) -> None:
        self._found: Any = None

    def recall(self, compute: Callable[[], T]) -> T:
        """What ``compute`` gave the first time."""
        if self._found is None:
            self._found = compute()
        found: T = self._found
        return found


@dataclass(frozen=True)
class Shared:
    """``gradient``: that of the loss at the images, where every descent without a random start begins.

    ``start``: a random point of the unit ball for each image; at each eps, as far away as eps is.
    """

    gradient: Once = field(default_factory=Once)
    start: Once = field(default_factory=Once)
