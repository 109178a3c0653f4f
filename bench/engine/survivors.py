"""Which samples still stand at each eps while a cascade goes on, and the best found against each."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from bench.engine.crafted import Crafted
from bench.store.records import Ints


class Survivors:
    """N samples of the classes ``labels`` at each eps of ``grid``.

    With ``carry``, what is found at one eps is found at every larger one, whose budget it keeps: what it
    breaks is not attacked there again, and what is reported at an eps is the worst case of all up to it.
    """

    def __init__(self, grid: Sequence[float], labels: Ints, *, carry: bool) -> None:
        self.best: dict[float, Crafted] = {}
        self._labels, self._carry = labels, carry
        self._alive = {eps: np.arange(len(labels)) for eps in sorted(grid)}

    def to_attack(self, *, at_once: bool) -> Iterator[tuple[Ints, list[float]]]:
        """Samples to attack, and their eps: all at which it is just these, for there they are one question.

        Where eps carry over they come one after another, rising, for each may break what is left at the next.
        An attack that answers ``at_once`` for all eps is asked about all that stand at the smallest.
        """
        if self._carry and not at_once:
            yield from ((index, [eps]) for eps, index in self._alive.items() if len(index))
            return
        found: dict[bytes, tuple[Ints, list[float]]] = {}
        most = next(iter(self._alive.values()))
        for eps, index in self._alive.items():
            if len(index):
                asked = most if self._carry else index
                found.setdefault(asked.tobytes(), (asked, []))[1].append(eps)
        yield from found.values()

    def add(self, eps: float, crafted: Crafted, index: Ints) -> None:
        """Take note of what was ``crafted`` at ``eps`` of the samples ``index``."""
        standing = np.isin(index, self._alive[eps])
        if eps in self.best:
            self.best[eps] = self.best[eps].improved_by(crafted.take(standing), index[standing], self._labels)
        else:
            self.best[eps] = crafted
        self._alive[eps] = np.flatnonzero(self.best[eps].stands(self._labels))
        for larger in [other for other in self._alive if other > eps and self._carry]:
            self._take_over(eps, larger)

    def _take_over(self, eps: float, larger: float) -> None:
        """What is broken at ``eps`` is so at ``larger``, after as many queries.

        The rest begins there with what it has.
        """
        found = self.best[eps]
        broken = np.setdiff1d(self._alive[larger], self._alive[eps])
        if larger not in self.best:
            self.best[larger] = replace(
                found, queries=None if found.queries is None else np.zeros_like(found.queries)
            )
        rows = np.isin(np.arange(len(self._labels)), broken)
        self.best[larger] = self.best[larger].with_rows(broken, found.take(rows))
        self._alive[larger] = np.setdiff1d(self._alive[larger], broken)
