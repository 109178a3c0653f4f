"""Accuracy class by class, as rows of a table: each model clean, and under each attack."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench.render import lines
from bench.scoring.classes import ClassScores
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
    for same in _alike(card.classes):
        first, model = same[0], lines.label(card, same[0].model)
        if first.model != last:
            yield ClassRow(model, "clean", "", [c.accuracy for c in first.classes])
        last = first.model
        yield ClassRow(model, first.attack, " = ".join(s.library for s in same), [c.robust_accuracy for c in first.classes])


def _alike(scores: Iterable[ClassScores]) -> Iterator[list[ClassScores]]:
    """The scores of one attack on one model that are the same in every class, together."""
    found: dict[tuple[object, ...], list[ClassScores]] = {}
    for one in scores:
        found.setdefault((one.model, one.attack, one.classes), []).append(one)
    yield from found.values()
