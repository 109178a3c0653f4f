"""Choosing samples: the same choice for the same labels and seed, on every machine."""

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.int64]


def halves(labels: Index, *, seed: int) -> tuple[Index, Index]:
    """Positions of two disjoint halves, each class split evenly, at random by ``seed``."""
    rng = np.random.default_rng(seed)
    first, second = [], []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        first.append(members[: len(members) // 2])
        second.append(members[len(members) // 2 :])
    return np.sort(np.concatenate(first)), np.sort(np.concatenate(second))


def balanced(labels: Index, count: int) -> Index:
    """Positions of ``count`` samples, taken from the classes in turn; all of them where there are no more."""
    turn = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        turn[members] = np.arange(len(members))
    return np.sort(np.argsort(turn, kind="stable")[:count])
