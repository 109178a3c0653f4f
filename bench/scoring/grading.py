"""The trust of one model's finished cells.

It is made of what the stored numbers say, and what was measured of the model and of each attack.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bench.scoring.record_checks import Neighbours, Scored, check_records
from bench.scoring.stronger import check_stronger
from bench.scoring.trust import CellTrust, Finding, cell_trust, judge_evidence
from bench.store import CellEntry
from bench.store.evidence import Evidence

REQUIRED = ("binarisation", "noise", "second-loss")
"""Checks of which each that was asked must have been able to fail: else gradients may be masked unseen."""

BY_THE_LOSS = ("budget", "noise", "unconstrained", "binarisation")
"""Checks that an attack fails, whatever the model, where its loss has no gradient."""


def grade_model(
    cells: Sequence[Scored], ids: npt.NDArray[np.str_], evidence: Sequence[Evidence], *besides: Finding
) -> dict[str, CellTrust]:
    """The trust of each of ``cells``, all of one model at one seed, by key; ``ids`` are of all samples.

    ``evidence`` is on the model, and the findings ``besides`` hold of each cell.
    """
    around = Neighbours(cells, ids, evidence)
    return {cell.entry.key: _grade(cell, around, _about(cell.entry, evidence), besides) for cell in cells}


def _grade(
    cell: Scored, around: Neighbours, about: Sequence[Evidence], besides: Sequence[Finding]
) -> CellTrust:
    stored, of_model = check_records(cell, around), judge_evidence([e for e in about if e.attack is None])
    of_attack = [*judge_evidence([e for e in about if e.attack is not None]), *check_stronger(cell, around)]
    asked = [*of_attack, *(f for f in stored if f.check == "noise")]
    could_fail = not any(f.check in REQUIRED and f.grade == "unchecked" for f in asked)
    measured = could_fail and any(f.grade != "unchecked" for f in asked)
    of_attack = _of_one_step(of_attack, cell, around)
    findings = [*besides, *_of_a_flat_loss([*stored, *of_model, *of_attack])]
    return cell_trust(findings, measured=measured)


def _of_a_flat_loss(findings: list[Finding]) -> list[Finding]:
    """``findings``, in which one that fails for want of a gradient warns where the loss alone is to blame.

    That is where the cross-entropy is flat and the margin, which is not, breaks more: the attack is too weak.
    """
    warned = {f.check for f in findings if f.grade == "warn"}
    if not warned.issuperset(("saturation", "second-loss")):
        return findings
    return [replace(f, grade="warn") if f.check in BY_THE_LOSS and f.grade == "fail" else f for f in findings]


def _of_one_step(findings: list[Finding], cell: Scored, around: Neighbours) -> list[Finding]:
    """``findings``, in which FGSM that misses planted adversarials warns where an iterative attack passes.

    Both are tried on the same twins: gradients lead to what is planted, and one step of them is too weak.
    """
    if cell.entry.kind != "fgsm":
        return findings
    others = {c.entry.attack for c in around.cells if c.entry.norm == cell.entry.norm and _iterates(c.entry)}
    told = judge_evidence([e for e in around.noise if e.check == "binarisation" and e.attack in others])
    found = next((f.detail for f in told if f.grade == "pass"), None)
    if found is None:
        return findings
    return [
        Finding(f.check, "warn", f"attack too weak: {f.detail}; with more steps, {found}")
        if f.check == "binarisation" and f.grade == "fail"
        else f
        for f in findings
    ]


def _iterates(cell: CellEntry) -> bool:
    return cell.access == "white-box" and cell.kind != "fgsm"


def _about(cell: CellEntry, evidence: Sequence[Evidence]) -> list[Evidence]:
    """The evidence on ``cell``: of its model, and of its attack through its library, failing that another."""
    model = [e for e in evidence if e.attack is None]
    attack = [e for e in evidence if e.attack == cell.attack]
    return [*model, *([e for e in attack if e.library == cell.library] or attack)]
