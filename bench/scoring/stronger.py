"""Trust checks by what stronger attacks broke: an attack that misses it is too weak, or misled."""

from collections.abc import Callable

import numpy as np

from bench.scoring.adaptive import NAIVE
from bench.scoring.record_checks import Neighbours, Scored
from bench.scoring.trust import Finding, Grade, share_grade
from bench.store.evidence import Evidence
from bench.store.records import Bools

FEWEST = 16
"""Samples on which a stronger attack has to be tried, unless fewer are left unbroken."""
POINTS = 0.05
"""Share of the attacked samples that a stronger attack may break besides."""


def check_stronger(cell: Scored, around: Neighbours) -> list[Finding]:
    """What stronger attacks say of ``cell``, where it is white-box and knows the defences.

    Others know less by design.
    """
    if cell.entry.access != "white-box" or cell.entry.role == NAIVE or not cell.asr.n:
        return []
    return [
        Finding(name, *check(asked, e, around))
        for name, check in CHECKS.items()
        for e in around.noise
        if e.check == f"{name}-{cell.entry.norm}" and (asked := _asked(cell, around, e))
    ]


def _asked(cell: Scored, around: Neighbours, e: Evidence) -> Scored | None:
    """The cell of the same attack through the same library at the budget of ``e``.

    As a control, it speaks for all its eps.
    """
    same = (cell.entry.attack, cell.entry.library)
    at = (c for c in around.cells if (c.entry.attack, c.entry.library) == same and c.eps == e.eps)
    return next(at, None)


def second_loss(cell: Scored, e: Evidence, around: Neighbours) -> tuple[Grade, str]:
    """second-loss: descent on the margin breaks hardly anything besides.

    Warns above 5 % of the attacked samples. Cross-entropy saturates, or depends on all classes alike (Croce &
    Hein 2020; Carlini & Wagner 2017). Never fails: the attack is too weak, which proves nothing about the
    model. What one step misses, another white-box attack of the suite may break.
    """
    left = _left(cell, around)
    missed = _missed(cell, e, around)
    robust = (int(left.sum()) - missed) / len(left)
    detail = (
        f"attack too weak: a margin loss breaks another {missed} of {e.n} samples; robust accuracy is at most"
        f" {robust:.1%}"
    )
    if missed > 1 and _gained(cell, e, around) > POINTS:
        return "warn", detail
    told = e.n >= min(FEWEST, int(left.sum()))
    return "pass" if told else "unchecked", f"a margin loss breaks another {missed} of {e.n} samples"


def search(cell: Scored, e: Evidence, around: Neighbours) -> tuple[Grade, str]:
    """search: where descent on the margin fails, a search without gradients breaks hardly anything besides.

    Warns where it and the margin loss break more than 5 % of the attacked samples. Gradients that do not lead
    to what random squares find are coarse or masked (Andriushchenko et al. 2020; Athalye et al. 2018, section
    3.1). Never fails: of an honest model too, descent may stop short.
    """
    missed = _missed(cell, e, around)
    besides = [s for s in around.noise if s.check == f"second-loss-{cell.entry.norm}" and s.eps == e.eps]
    gained = sum(_gained(cell, s, around) for s in (e, *besides))
    found = f"a search without gradients breaks another {missed} of {e.n} samples on which descent fails"
    if missed > 1 and gained > POINTS:
        broken = np.isin(around.ids, [sample for s in (e, *besides) for sample in s.samples])
        robust = (_left(cell, around) & ~broken).mean()
        return "warn", f"attack too weak: {found}; robust accuracy is at most {robust:.1%}"
    return "pass", found


def behind_head(cell: Scored, e: Evidence, around: Neighbours) -> tuple[Grade, str]:
    """behind-head: what fools the model up to its last linear layer does not fool the model more.

    Limit 5 % of the samples. What comes after that layer masks its gradient (Athalye et al. 2018): the
    model's own, by the same loss, breaks less.
    """
    return _transferred(cell, e, around)


def sibling(cell: Scored, e: Evidence, around: Neighbours) -> tuple[Grade, str]:
    """sibling: no adversarial of another model of the suite, or of what was adapted, beats its own.

    Limit 5 %. That is the model without its adapter, or, where the suite has no other, the backbone that it
    was trained from.

    Transfer that does better than white-box attacks is a sign of masked gradients (Athalye et al. 2018,
    section 3.1; Carlini et al. 2019, section 4).
    """
    return _transferred(cell, e, around)


CHECKS: dict[str, Callable[[Scored, Evidence, Neighbours], tuple[Grade, str]]] = {
    "second-loss": second_loss,
    "search": search,
    "behind-head": behind_head,
    "sibling": sibling,
}


def _transferred(cell: Scored, e: Evidence, around: Neighbours) -> tuple[Grade, str]:
    missed = _missed(cell, e, around)
    detail = (
        f"masked: adversarials of {e.detail} break {missed} of {e.n} samples that descent on the model itself"
        " does not"
    )
    return share_grade(missed / e.n, e.n, POINTS) if e.n else "unchecked", detail


def _gained(cell: Scored, e: Evidence, around: Neighbours) -> float:
    """The share of the attacked samples that ``e`` presumably breaks besides."""
    return (e.value or 0) * _missed(cell, e, around) / max(len(e.samples), 1)


def _missed(cell: Scored, e: Evidence, around: Neighbours) -> int:
    """How many of the samples that ``e`` broke are left unbroken."""
    return int((np.isin(around.ids, e.samples) & _left(cell, around)).sum())


def _left(cell: Scored, around: Neighbours) -> Bools:
    """The samples ``cell`` left unbroken; of one step, those no white-box attack of its budget breaks."""
    left = cell.correct & ~cell.success
    for other in around.cells if cell.entry.kind == "fgsm" else ():
        same = (other.entry.eps, other.entry.norm, other.entry.access) == (
            cell.entry.eps,
            cell.entry.norm,
            "white-box",
        )
        left = left & ~other.success if same else left
    return left
