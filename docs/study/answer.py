"""What an answer is, and which runs the short one rests on."""

from collections.abc import Sequence
from dataclasses import dataclass

from docs.study.found import Found

NOTHING = "Nothing that was run can be compared"


@dataclass(frozen=True)
class Answer:
    """At most three sentences for the head of the page, and the tables that they follow from."""

    short: str
    lines: list[str]


def several(runs: Sequence[Found]) -> list[Found]:
    """Those with several trainings of each model; where there are none, all."""
    return [found for found in runs if found.seeds > 1] or list(runs)
