"""Trust checks of defended models: whether an attack knew the defences, and whether what is random was asked often enough."""

from collections.abc import Iterable

from bench.scoring.trust import Finding, Grade
from bench.store import CellEntry, ModelEntry

KNOWS = ("adaptive", "both")
"""Roles of attacks that know the defences, or to which there is nothing to know."""
FEW, ENOUGH = 16, 32
"""Draws under which a random model's expected correctness is not known at all, and under which it is known badly."""


def check_adaptive(model: ModelEntry, cells: Iterable[CellEntry]) -> list[Finding]:
    """adaptive: an attack that knows a model's defences was tried. Fails otherwise: what withstands others is not known.

    Athalye et al. 2018; Tramèr et al. 2020. And ``deterministic``: a model that is random by declaration is accepted as such
    where it is judged by enough draws: warns under 32, fails under 16.
    """
    if not model.of:
        return []
    own = [cell for cell in cells if cell.id.model == model.id]
    findings = [Finding("adaptive", "pass", "attacks that know the defences were tried")]
    if not any(cell.role in KNOWS for cell in own):
        findings = [Finding("adaptive", "fail", "attacked only as if its defences were not known")]
    draws = min((cell.draws for cell in own), default=0)
    if draws:
        grade: Grade = "fail" if draws < FEW else "warn" if draws < ENOUGH else "pass"
        findings.append(Finding("deterministic", grade, f"random, as declared: judged by {draws} draws a sample"))
    return findings
