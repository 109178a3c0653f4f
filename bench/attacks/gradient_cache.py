"""What need not be computed at every eps of a grid."""

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor

T = TypeVar("T")


class GradientMemory:
    """The gradient at the images of a question: one-step attacks, and descents that start there, ask for it at every eps."""

    def __init__(self) -> None:
        self.images: Tensor | None = None
        self._found: Any = None

    def about(self, images: Tensor) -> None:
        """Keep what is known if ``images`` is the very tensor of the last question, else forget it."""
        if self.images is not images:
            self.images, self._found = images, None

    def recall(self, compute: Callable[[], T]) -> T:
        """What ``compute`` gives at these images, computed once."""
        if self._found is None:
            self._found = compute()
        found: T = self._found
        return found
