"""What trust checks of defended models share.

Who knows the defences, and whether a random model was asked often enough.
"""

from collections.abc import Iterable

from bench.scoring.trust import Finding, Grade
from bench.store import CellEntry, ModelEntry

KNOWS = ("adaptive", "both")
"""Roles of attacks that know the defences, or to which there is nothing to know."""
NAIVE = "naive"
"""The role of attacks that do not know the defences."""
FEW, ENOUGH = 16, 32
"""Draws under which a random model's expected correctness is not known at all, and under which only badly."""


def check_draws(model: ModelEntry, cells: Iterable[CellEntry]) -> list[Finding]:
    """deterministic: a model that is random by declaration is judged by enough draws.

    Warns under 32, fails under 16.
    """
    draws = min((cell.draws for cell in cells if model.of and cell.id.model == model.id), default=0)
    if not draws:
        return []
    grade: Grade = "fail" if draws < FEW else "warn" if draws < ENOUGH else "pass"
    return [Finding("deterministic", grade, f"random, as declared: judged by {draws} draws a sample")]
