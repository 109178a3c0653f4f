"""Whether labels and class order are those of the network, judged by its clean predictions alone."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.scoring.statistics import at_most, beats
from bench.scoring.trust import Finding
from bench.store.records import Ints

LEVEL = 1e-5
"""Chance of a false alarm that is accepted in one model that is right too seldom for its certainty."""
ORDERS = 1e-3
"""The same over all orders that could have been found.

Two classes of ten samples each that are swapped among twelve must be found. An honest model has no cycle of
classes, whatever their number, so that its false alarms are far fewer.
"""
FEWEST = 17
"""Samples under which nothing can be shown at LEVEL.

That none of 16 is right where half should be has the chance 2 ** -16.
"""
GUESSING = 1e-3
"""A model is no better than guessing unless an exact binomial test says so at this level."""
TIMES = 3
"""How much more often another order must be right than the given one, on the classes that it moves."""
OVERCONFIDENT = 0.25
"""By how much certainty must exceed accuracy, in a model that only guesses, to be worth a warning."""
COLLAPSED = 0.9
"""Share of the samples that are taken for one class, above which no order of the labels can be the reason."""
NAME = 0.05
"""Share of samples by which the best of all orders, which fits noise too, must exceed one that has a name."""
NAMED, LISTED = 3, 40
"""Moved classes that are named, and classes of which the whole order is printed."""
TRIED = math.log(4)
"""Log of the orders that are tried by name: by text, by number, one further, one back."""
WORDNET = re.compile(r"n\d{8}")
PLAIN = re.compile(r"0|[1-9]\d*|(?!(?:y|n|yes|no|on|off|true|false|null)$)[a-z_][\w-]*", re.IGNORECASE)
"""Names that YAML reads as they are written."""


def check_labels(label: Ints, pred: Ints, certainty: float, names: Sequence[str] = ()) -> Finding:
    """labels: the labels and their order are the network's.

    Fails where another order, or nothing, explains the predictions.

    ``label`` and ``pred`` are N classes, ``certainty`` the mean probability of ``pred``, ``names`` the
    classes in label order where they are known.

    Another order counts if, on the classes that it moves, it is right at least three times as often as the
    given one, and the sign test says so at 1e-3, corrected for every order that could have been found. Tried
    are the orders by text and by number, all classes one further or back, and the best of all (the optimal
    assignment of the confusion matrix), cycle by cycle: in a cycle no class is predicted as itself most
    often, and three in four are predicted as the next one more often. An honest model, however weak or
    biased, has no such cycle: where a class is taken for the next since that one has the larger bias, biases
    would have to rise all the way round.

    Near chance with high certainty: an exact binomial test does not show accuracy above 1 / classes (0.1 %),
    and the model is right less than half as often as it says (at 1e-5). Two classes are guessed right half of
    the time: to be certain there, or only 25 points too certain, is a warning, since a hopeless model can be
    so honestly. So is to take 90 % of the samples for one class: no order of the labels explains it. Samples
    that are taken for none of the ``names`` tell nothing of their order.
    """
    count = len(names) or 1 + int(max(label.max(initial=-1), pred.max(initial=-1)))
    if len(label) < FEWEST or count < 2:
        return Finding(
            "labels", "unchecked", f"{len(label)} samples cannot show whether the labels are the network's"
        )
    confusion, within = np.zeros((count, count), dtype=np.int64), pred < count
    if within.sum() < FEWEST:
        return Finding(
            "labels",
            "unchecked",
            f"{len(label) - within.sum()} of {len(label)} samples are taken for other classes",
        )
    np.add.at(confusion, (label[within], pred[within]), 1)
    named, best = [*_known_orders(confusion, names), *_shifts(confusion)], [*_best_order(confusion, names)]
    if named or best:
        right, said = max(
            *named, *best, (0, ""), key=lambda found: found[0] + NAME * len(label) * (found in named)
        )
        but = f"{np.trace(confusion)} of {len(label)} samples are right, but {right} {said}"
        return Finding("labels", "fail", f"the class order does not match the network's: {but}")
    return _beside_chance(confusion, certainty, names)


def _beside_chance(confusion: Ints, certainty: float, names: Sequence[str]) -> Finding:
    """How a model that no order of the classes explains compares with one that guesses."""
    n, right, taken = int(confusion.sum()), int(np.trace(confusion)), confusion.sum(0)
    guesses = 1 - at_most(right - 1, n, 1 / len(confusion)) > GUESSING
    said = (
        f"{right} of {n} samples are right, no more than by chance, at a mean certainty of {certainty:.2f}: "
    )
    if not guesses or at_most(right, n, max(certainty - OVERCONFIDENT, 0)) > LEVEL:
        return Finding(
            "labels",
            "pass",
            f"{right} of {n} samples are right, and no other order of the classes explains more",
        )
    if taken.max() >= COLLAPSED * n:
        most = _called(int(taken.argmax()), names)
        return Finding(
            "labels",
            "warn",
            f"{said}{taken.max()} are taken for {most}; check normalisation, size and training",
        )
    cause = "labels, class order or head are not those of the network, or it was made for images unlike these"
    return Finding("labels", "fail" if at_most(right, n, certainty / 2) <= LEVEL else "warn", said + cause)


@dataclass(frozen=True)
class _Order:
    """Another order: ``rows`` are network outputs for the classes (C), ``moved`` the classes it moves."""

    rows: Ints
    moved: Ints

    def right(self, confusion: Ints) -> Ints:
        """Of each moved class, the samples that are right in this order."""
        found: Ints = confusion[self.moved, self.rows[self.moved]]
        return found

    def explains(self, confusion: Ints, log_tried: float) -> bool:
        """Whether it far exceeds the given order; ``log_tried`` orders like it could have been found."""
        right, given = int(self.right(confusion).sum()), int(confusion[self.moved, self.moved].sum())
        chance = beats(right, given)
        return right >= TIMES * given and (chance == 0 or math.log(chance) + log_tried <= math.log(ORDERS))

    def total(self, confusion: Ints) -> int:
        """Samples that are right in this order, with those of the classes that stay."""
        return int(np.delete(np.diag(confusion), self.moved).sum() + self.right(confusion).sum())


Better = Iterator[tuple[int, str]]
"""Orders that explain the predictions: how many samples are right in each, and what to say of it."""


def _known_orders(confusion: Ints, names: Sequence[str]) -> Better:
    """The network's classes are ordered as text or by number, and the data's are not."""
    for key, said in ((str, "sorted order, as tools list folders"), (_by_number, "number order")):
        order = np.array(sorted(range(len(names)), key=lambda i: key(names[i])), dtype=np.int64)
        rows = np.argsort(order)
        other = _Order(rows, np.flatnonzero(rows != np.arange(len(rows))))
        if len(other.moved) and other.explains(confusion, TRIED):
            yield (
                other.total(confusion),
                f"in {said}: the network was trained in that order; {_advice(names, order)}",
            )


def _by_number(name: str) -> tuple[object, ...]:
    """Sorts a2 before a10."""
    return tuple(
        (0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.findall(r"\d+|\D+", name)
    )


def _shifts(confusion: Ints) -> Better:
    """The network counts its classes from one more, or one less, as with a class of the background."""
    count, displaced = len(confusion), _displaced(confusion)
    for by, said in (
        (
            1,
            (
                "every class is the next one: the network has a class before these (background, or counted"
                " from 1)"
            ),
        ),
        (-1, "every class is the one before: the network lacks the first of these"),
    ):
        rows = np.clip(np.arange(count) + by, 0, count - 1)
        left = count - 1 if by == 1 else 0
        wraps = confusion[left].argmax() == (left + by) % count
        other = _Order(rows, np.flatnonzero(rows != np.arange(count)))
        if count > 2 and left in displaced and not wraps and other.explains(confusion, TRIED):
            yield other.total(confusion), f"if {said}"


def _best_order(confusion: Ints, names: Sequence[str]) -> Better:
    """The best of all orders, as far as it has cycles that explain the predictions."""
    displaced = _displaced(confusion)
    if len(displaced) < 2:
        return
    from scipy.optimize import linear_sum_assignment  # takes its time to import, and is hardly ever needed

    inner = confusion[np.ix_(displaced, displaced)]
    rows = np.arange(len(confusion))
    rows[displaced] = displaced[linear_sum_assignment(inner, maximize=True)[1]]
    found = [cycle for cycle in _cycles(rows) if _closes(confusion, rows, cycle)]
    if not found:
        return
    moved = np.sort(np.concatenate(found))
    kept = np.arange(len(confusion))
    kept[moved] = rows[moved]
    other = _Order(kept, moved)
    said = f"in another order, unless its head is not its own: {_named(other, confusion, names)}"
    yield other.total(confusion), f"{said}; {_advice(names, np.argsort(kept))}"


def _closes(confusion: Ints, rows: Ints, cycle: Ints) -> bool:
    """Whether ``cycle`` explains the predictions all the way round, but for a quarter of its classes."""
    other, tried = _Order(rows, cycle), _log_cycles(len(confusion), len(cycle))
    borne = other.right(confusion) > confusion[cycle, cycle]
    return int((~borne).sum()) * 4 <= len(cycle) and other.explains(confusion, tried)


def _displaced(confusion: Ints) -> Ints:
    """The classes that are predicted as another one most often."""
    return np.flatnonzero(confusion.max(1) > np.diag(confusion))


def _cycles(rows: Ints) -> Iterator[Ints]:
    """The cycles of a permutation, but for classes that stay."""
    left = set(np.flatnonzero(rows != np.arange(len(rows))).tolist())
    while left:
        cycle = [left.pop()]
        while (following := int(rows[cycle[-1]])) in left:
            left.remove(following)
            cycle.append(following)
        yield np.array(cycle)


def _log_cycles(classes: int, length: int) -> float:
    """Log of how many cycles of ``length`` there are among ``classes``: n! / (n - length)! / length."""
    return math.lgamma(classes + 1) - math.lgamma(classes - length + 1) - math.log(length)


def _named(other: _Order, confusion: Ints, names: Sequence[str]) -> str:
    """Like: label 2 '10' is predicted as label 4 '2' (28 of 30), and 9 more are moved."""
    shown = [
        f"{_called(i, names)} is predicted as {_called(int(other.rows[i]), names)} "
        f"({confusion[i, other.rows[i]]} of {confusion[i].sum()})"
        for i in other.moved[:NAMED].tolist()
    ]
    more = f", and {len(other.moved) - NAMED} more are moved" if len(other.moved) > NAMED else ""
    return ", ".join(shown) + more


def _called(i: int, names: Sequence[str]) -> str:
    return f"label {i} '{names[i]}'" if names else f"label {i}"


def _advice(names: Sequence[str], order: Ints) -> str:
    """Like ``give classes: [0, 1, 2]``: the order the suite should give, as YAML; cut short where long."""
    if not names:
        return "give the data's classes in the network's order"
    said = [
        names[i] if PLAIN.fullmatch(names[i]) else "'" + names[i].replace("'", "''") + "'"
        for i in order.tolist()
    ]
    listed = (
        ", ".join(said)
        if len(said) <= LISTED
        else f"{', '.join(said[:NAMED])}, ... all {len(said)} in this order"
    )
    wordnet = (
        " (wnids.txt and sorted folders differ)" if all(WORDNET.fullmatch(name) for name in names) else ""
    )
    return f"give classes: [{listed}]{wordnet}"
