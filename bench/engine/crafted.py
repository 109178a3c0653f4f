"""What an attack has made of samples: one frozen type, from the attack to the records that are stored."""

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from adapters.classifier import Predictions
from bench.store.records import NORMS, Bools, Floats, Ints, Records

Kind = TypeVar("Kind", np.int64, np.float32)


@dataclass(frozen=True)
class Crafted:
    """N samples after an attack: what the model says, how far they moved, and on request the images.

    Predictions are ours, in float32; ``distances`` are by norm, on the [0, 1] scale. ``queries``,
    ``distance`` and ``images`` (N x C x H x W) are None where nothing counts, measures or keeps them;
    ``right`` and ``choice`` are a random model's, as in ``Predictions``. No array is written to: what changes
    is a new one.
    """

    pred: Ints
    prob: Floats
    prob_true: Floats
    distances: dict[str, Floats]
    queries: Ints | None = None
    distance: Floats | None = None
    images: Floats | None = None
    right: Floats | None = None
    choice: Floats | None = None

    def stands(self, labels: Ints) -> Bools:
        """Which samples, of these ``labels``, are still predicted correctly, if only sometimes."""
        return np.asarray(self.pred == labels if self.choice is None else self.choice > 0)

    def with_rows(self, index: Ints, others: "Crafted") -> "Crafted":
        """These, with ``others`` as the rows at ``index``, in all columns that both have."""
        return Crafted(
            _put(self.pred, index, others.pred),
            _put(self.prob, index, others.prob),
            _put(self.prob_true, index, others.prob_true),
            {norm: _put(column, index, others.distances[norm]) for norm, column in self.distances.items()},
            _put_if_there(self.queries, index, others.queries),
            _put_if_there(self.distance, index, others.distance),
            _put_if_there(self.images, index, others.images),
            _put_if_there(self.right, index, others.right),
            _put_if_there(self.choice, index, others.choice),
        )

    def improved_by(self, others: "Crafted", index: Ints, labels: Ints) -> "Crafted":
        """These, with the rows of ``others`` (about the samples ``index``) that harm the classifier more.

        ``labels`` are of all N. A sample has taken the queries of both.
        """
        better = (others.pred != labels[index]) | (others.prob_true < self.prob_true[index])
        if self.choice is not None and others.choice is not None:
            better = others.choice < self.choice[index]
        found = self.with_rows(index[better], others.take(better))
        if self.queries is None or others.queries is None:
            return replace(found, queries=self.queries)
        return replace(found, queries=_put(self.queries, index, self.queries[index] + others.queries))

    def unless_harmless(self, others: "Crafted", index: Ints) -> "Crafted":
        """These, with ``others`` as the rows at ``index``.

        A random model's images stay as they are where that harms more.
        """
        if self.choice is None or others.choice is None:
            return self.with_rows(index, others)
        harmful = others.choice <= self.choice[index]
        found = self.with_rows(index[harmful], others.take(harmful))
        return replace(found, queries=_put_if_there(self.queries, index, others.queries))

    def take(self, chosen: Bools) -> "Crafted":
        """The rows that are ``chosen`` (N)."""
        return Crafted(
            self.pred[chosen],
            self.prob[chosen],
            self.prob_true[chosen],
            {norm: column[chosen] for norm, column in self.distances.items()},
            None if self.queries is None else self.queries[chosen],
            None if self.distance is None else self.distance[chosen],
            None if self.images is None else self.images[chosen],
            None if self.right is None else self.right[chosen],
            None if self.choice is None else self.choice[chosen],
        )

    def records(self, ids: tuple[str, ...], labels: Ints, clean: Predictions) -> Records:
        """The records of the samples with these ``ids`` and ``labels``.

        The model said ``clean`` of them before the attack.
        """
        success = (clean.pred == labels) & (self.pred != labels)
        unattacked = np.array(ids), labels, clean.pred, clean.prob, clean.prob_true
        after = self.pred, self.prob, self.prob_true, success
        far = self.distances["linf"], self.distances["l2"], self.distances["l1"], self.distances["l0"]
        found = Records(*unattacked, *after, *far, queries=self.queries, distance=self.distance)
        return replace(found, clean_right=clean.right, adv_right=self.right, adv_choice=self.choice)


def untouched(clean: Predictions, *, queries: bool, distance: bool, images: Floats | None) -> Crafted:
    """Samples that no attack has touched, of which the model says ``clean``."""
    n = len(clean.pred)
    return Crafted(
        clean.pred,
        clean.prob,
        clean.prob_true,
        {norm: np.zeros(n, dtype=np.float32) for norm in NORMS},
        np.zeros(n, dtype=np.int64) if queries else None,
        np.zeros(n, dtype=np.float32) if distance else None,
        images,
        clean.right,
        clean.choice,
    )


def _put(column: npt.NDArray[Kind], index: Ints, values: npt.NDArray[Kind]) -> npt.NDArray[Kind]:
    changed = column.copy()
    changed[index] = values
    return changed


def _put_if_there(
    column: npt.NDArray[Kind] | None, index: Ints, values: npt.NDArray[Kind] | None
) -> npt.NDArray[Kind] | None:
    return column if column is None or values is None else _put(column, index, values)
