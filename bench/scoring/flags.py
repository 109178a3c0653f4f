"""What the trust checks flagged, gathered over cells."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from bench.scoring.trust import CellTrust, Grade
from bench.store import CellEntry

Graded = tuple[CellEntry, CellTrust | None]
"""A cell, and how far it can be trusted."""


@dataclass(frozen=True)
class Flag:
    """What one check flagged of one model: under which attacks, on how many cells, and what it first said."""

    check: str
    grade: Grade
    model: str
    attacks: tuple[str, ...]
    cells: int
    detail: str

    @property
    def where(self) -> str:
        """The model and the attacks."""
        return f"{self.model} {', '.join(self.attacks)}"


def flags(cells: Iterable[Graded]) -> tuple[Flag, ...]:
    """Every warning and failure of the trust checks.

    The cells of one attack stand together, and so do attacks with the same finding.
    """
    by_attack: dict[tuple[str, Grade, str, str], list[str]] = defaultdict(list)
    for entry, trust in cells:
        for f in trust.findings if trust else ():
            if f.grade in ("warn", "fail"):
                by_attack[f.check, f.grade, entry.model, entry.attack].append(f.detail)
    found: dict[tuple[str, Grade, str, str], Flag] = {}
    for (check, grade, model, attack), details in by_attack.items():
        same = found.get((check, grade, model, details[0]), Flag(check, grade, model, (), 0, details[0]))
        found[check, grade, model, details[0]] = replace(
            same, attacks=(*same.attacks, attack), cells=same.cells + len(details)
        )
    return tuple(found.values())


def unchecked(cells: Iterable[Graded]) -> dict[str, int]:
    """The checks that had too few samples to fail, each with how many cells it would have been of."""
    return dict(
        Counter(
            f.check for _, trust in cells for f in (trust.findings if trust else ()) if f.grade == "unchecked"
        )
    )
