"""What a robust accuracy rests on: the strongest attack behind it, and whether that one can be trusted."""

from collections.abc import Mapping, Sequence

from bench.scoring.record_checks import Scored
from bench.scoring.trust import ORDER, CellTrust

Grades = Mapping[str, CellTrust]
"""The trust of each finished cell, by key."""


def support(cells: Sequence[Scored], grades: Grades) -> Scored:
    """The cell on which the worst case over ``cells`` rests: it is sound unless this one fails.

    Every success is verified, so a failed attack can never make a model look less robust than it is; it can
    only hide that a sound one would have broken more. So a worst case is as sound as its strongest attack.
    White-box attacks that iterate come first, then FGSM, then the rest, whatever they found: passing a
    one-step or a black-box attack proves nothing while a better one has failed (Athalye et al. 2018, section
    3.1; Carlini et al. 2019, section 4). Of these it is the one that breaks most, since where that one fails,
    a sound one that broke less has been shown to be too weak; of equals, the most trusted.
    """
    return max(
        _strongest(cells), key=lambda c: (int(c.success.sum()), -ORDER.index(grades[c.entry.key].grade))
    )


def _strongest(cells: Sequence[Scored]) -> Sequence[Scored]:
    white_box = [c for c in cells if c.entry.access == "white-box"]
    iterative = [c for c in white_box if c.entry.kind != "fgsm"]
    return iterative or white_box or cells


def is_sound(cells: Sequence[Scored], grades: Grades) -> bool:
    """Whether what ``cells`` leave unbroken can be believed to be robust."""
    return not _against(cells, grades)[1]


def why_unsound(cells: Sequence[Scored], grades: Grades) -> str:
    """The attack on which the worst case rests and the checks that it fails, in words."""
    cell, checks = _against(cells, grades)
    if "labels" in checks:
        return "its labels, or the order of its classes, are not those of the network"
    if cell is support(cells, grades):
        return f"its strongest attack, {cell.entry.attack}, fails {', '.join(checks)}"
    return f"{cell.entry.attack} fails {', '.join(checks)}, which its strongest attack had no chance to show"


def _against(cells: Sequence[Scored], grades: Grades) -> tuple[Scored, list[str]]:
    """The checks that the support of ``cells`` fails.

    If there are none, those that only a one-step attack had a chance to fail, and did.
    """
    strongest = support(cells, grades)
    if failed := _failed(strongest, grades):
        return strongest, failed
    told = {f.check for f in grades[strongest.entry.key].findings if f.grade != "unchecked"}
    for cell in (c for c in cells if c.entry.kind == "fgsm" and c.entry.role == strongest.entry.role):
        if alone := [check for check in _failed(cell, grades) if check not in told]:
            return cell, alone
    return strongest, []


def _failed(cell: Scored, grades: Grades) -> list[str]:
    return list(dict.fromkeys(f.check for f in grades[cell.entry.key].findings if f.grade == "fail"))
