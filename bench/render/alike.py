"""What several libraries say alike is shown once."""

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def alike(scores: Iterable[T], what: Callable[[T], object]) -> list[list[T]]:
    """Those of which ``what`` is equal together, in the order of the first of each."""
    found: list[tuple[object, list[T]]] = []
    for one in scores:
        own = what(one)
        group = next((group for other, group in found if other == own), None)
        if group is None:
            found.append((own, [one]))
        else:
            group.append(one)
    return [group for _, group in found]


def joined(names: Iterable[str]) -> str:
    """Libraries that say the same: foolbox = art."""
    return " = ".join(names)
