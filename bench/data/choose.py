"""Choosing samples: the same choice for the same labels and seed, on every machine."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from adapters.declaration import did_you_mean
from adapters.errors import about
from bench.errors import UserError

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


def balanced(labels: Index, count: int, *, seed: int) -> Index:
    """Positions of ``count`` samples, taken from the classes in turn; all of them where there are no more."""
    return np.sort(np.argsort(_turns(labels, seed), kind="stable")[:count])


def each(labels: Index, count: int, *, seed: int) -> Index:
    """Positions of ``count`` samples of each class, those of ``balanced``; all where it has no more."""
    return np.flatnonzero(_turns(labels, seed) < count)


def _turns(labels: Index, seed: int) -> Index:
    """When each sample's turn comes in its class: in the set's order for seed 0, at random by any other."""
    rng = np.random.default_rng(seed)
    turn = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        turn[members] = rng.permutation(len(members)) if seed else np.arange(len(members))
    return turn


def at_most_per_class(labels: Index, count: int, *, seed: int) -> Index:
    """Positions of at most ``count`` samples of each class, drawn at random by ``seed``."""
    rng = np.random.default_rng(seed)
    return np.sort(
        np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:count] for c in np.unique(labels)])
    )


@about("classes")
def pick_classes(
    known: Sequence[str], asked: int | Sequence[int | str] | None, exclude: Sequence[int | str]
) -> list[str]:
    """The names in ``known`` that are asked for: a list, the first n, or all (None); none in ``exclude``.

    Raises UserError for a name that is not known, and where fewer than two classes are left.
    """
    for key, names in (
        ("exclude", exclude),
        ("classes", () if asked is None or isinstance(asked, int) else asked),
    ):
        with about(key):
            for name in names:
                if str(name) not in known:
                    quote = (
                        "; a name with leading zeros needs quotes, like '007'"
                        if isinstance(name, int)
                        else ""
                    )
                    raise UserError(
                        f"data: no class '{name}'; {did_you_mean(str(name), list(known)[:20])}{quote}"
                    )
    allowed = [name for name in known if name not in {str(e) for e in exclude}]
    if isinstance(asked, int):
        if asked > len(allowed):
            raise UserError(f"data: classes: {asked} asked for, but there are {len(allowed)}")
        return allowed[:asked]
    chosen = allowed if asked is None else [str(name) for name in asked]
    for name in chosen:
        if name not in allowed:
            raise UserError(f"data: class '{name}' is both in classes and in exclude")
    if len(set(chosen)) < max(2, len(chosen)):
        raise UserError("data: classes must be at least two, each given once")
    return chosen
