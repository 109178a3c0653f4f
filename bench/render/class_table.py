"""Accuracy class by class, as rows of a table: each model clean, and under each attack."""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.render.alike import alike, joined
from bench.scoring.scorecard import Scorecard
from bench.scoring.statistics import Proportion


@dataclass
class ClassRow:
    """One line: ``shares`` by class; ``libraries`` are those that have the same in every class."""

    model: str
    attack: str
    libraries: str
    shares: list[Proportion]


def class_names(card: Scorecard) -> list[str]:
    """The classes in label order, each with its number of samples: cat (30)."""
    return [f"{c.name} ({c.accuracy.n})" for c in card.classes[0].classes] if card.classes else []


def class_rows(card: Scorecard) -> Iterator[ClassRow]:
    """The rows of each model in turn; attacks at the headline eps."""
    last = None
    for same in alike(card.classes, lambda s: (s.model, s.attack, s.classes)):
        first, model = same[0], card.title(same[0].model)
        if first.model != last:
            yield ClassRow(model, "clean", "", [c.accuracy for c in first.classes])
        last = first.model
        yield ClassRow(
            model, first.attack, joined(s.library for s in same), [c.robust_accuracy for c in first.classes]
        )
