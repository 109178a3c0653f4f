"""Trust checks of stored numbers: each compares a cell with its neighbours, or with what noise broke."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bench.scoring.adaptive import KNOWS, NAIVE
from bench.scoring.chances import success_rate
from bench.scoring.statistics import Proportion, beats, proportion
from bench.scoring.trust import FEWEST, Finding, Grade
from bench.store import CellEntry
from bench.store.evidence import Evidence
from bench.store.records import Bools, CellOutcomes

ENOUGH, TOO_FEW = 100, 10
"""Attacked samples under which any interval is wider than 20 points, and under which nothing can be said."""
SLACK = 1e-6
"""How far float32 rounding may carry a distance beyond eps; relative where eps is above 1."""
POINT = 0.01
"""Share of the attacked samples up to which a weaker result does not matter."""
ALPHA = 0.01
"""Level of the one-sided sign test that a weaker result is not chance."""


@dataclass(frozen=True)
class Scored:
    """A finished cell: its entry, and what came out of it."""

    entry: CellEntry
    outcomes: CellOutcomes

    @property
    def correct(self) -> Bools:
        """Of each sample (N), whether it was predicted correctly, and so attacked."""
        return self.outcomes.correct

    @property
    def success(self) -> Bools:
        """Of each sample (N), whether it was broken."""
        return self.outcomes.broken

    @cached_property
    def asr(self) -> Proportion:
        """The attack success rate."""
        if (chances := self.outcomes.chances) is not None:
            return success_rate(chances.before, chances.after)
        return proportion(int(np.count_nonzero(self.success)), int(np.count_nonzero(self.correct)))

    @property
    def eps(self) -> Fraction:
        """The budget."""
        return self.entry.eps


@dataclass(frozen=True)
class Neighbours:
    """The finished cells of the same model and seed, and what random noise broke.

    ``ids`` are of all samples, ``noise`` is the evidence.
    """

    cells: Sequence[Scored]
    ids: npt.NDArray[np.str_]
    noise: Sequence[Evidence]


def check_records(cell: Scored, around: Neighbours) -> list[Finding]:
    """Every finding of the stored numbers on ``cell``; where nothing was attacked, there is no more to say.

    An attack that does not know the defences is expected to be weak: ``adaptive`` says so, and no other check
    does.
    """
    asked = CHECKS if cell.asr.n else {"samples": samples}
    if cell.entry.role == NAIVE:
        asked = {name: check for name, check in asked.items() if name not in OF_STRENGTH}
    return [
        Finding(name, grade, detail) for name, check in asked.items() for grade, detail in check(cell, around)
    ]


Found = Iterator[tuple[Grade, str]]


def samples(cell: Scored, _: Neighbours) -> Found:
    """samples: enough samples were attacked.

    Warns under 100 (an interval up to 20 points wide), fails under 10. Wilson 1927 gives the width.
    """
    n = cell.asr.n
    yield "fail" if n < TOO_FEW else "warn" if n < ENOUGH else "pass", f"{n} samples were attacked"


def budget(cell: Scored, _: Neighbours) -> Found:
    """budget: adversarials stay within eps (1e-6 slack), and something was changed at all. Fails otherwise.

    Carlini et al. 2019, section 5: check that the perturbation bound holds. An attack that sees labels only
    gives back the image itself where nothing it tried changed the label, and so does one that does not know
    that a defence hides its gradient: of that, nothing is said.
    """
    largest, eps = cell.outcomes.largest, float(cell.eps)
    if cell.entry.budget != "fixed" or largest is None:
        return
    if not largest and (cell.entry.access == "decision" or cell.entry.role == NAIVE):
        return
    within = 0 < largest <= eps + SLACK * max(1.0, eps)
    detail = (
        f"largest {cell.entry.norm} distance {largest:.6g} of {eps:.6g}"
        if largest
        else "no sample was changed at all"
    )
    yield "pass" if within else "fail", detail


def more_budget(cell: Scored, around: Neighbours) -> Found:
    """more-budget: success does not fall as eps grows.

    Warns above 1 point, fails if the sign test says so at 1 %. Carlini et al. 2019, section 4: a larger
    budget contains the smaller one.
    """
    e = cell.entry
    same = (e.attack, e.library)
    smaller = [c for c in around.cells if (c.entry.attack, c.entry.library) == same and c.eps < cell.eps]
    if smaller:
        other = max(smaller, key=lambda c: c.eps)
        yield _weaker(cell, other, f"eps {float(other.eps):.4g}")


def iterations(cell: Scored, around: Neighbours) -> Found:
    """iterations: an iterative attack is no weaker than FGSM at the same eps.

    Warns above 1 point, fails at 1 %. Athalye et al. 2018, section 3.1: one-step attacks that do better are a
    sign of masked gradients.
    """
    if not _white_box(cell) or cell.entry.kind == "fgsm":
        return
    for other in _same_budget(cell, around):
        if other.entry.kind == "fgsm" and other.entry.library == cell.entry.library:
            yield _weaker(cell, other, "FGSM")


def white_box(cell: Scored, around: Neighbours) -> Found:
    """white-box: gradients help: no weaker than a black-box attack at the same eps.

    Warns above 1 point, fails at 1 %. Athalye et al. 2018, section 3.1; only the strongest white-box cell is
    asked.
    """
    peers = [c for c in _same_budget(cell, around) if c.entry.library == cell.entry.library]
    if not _white_box(cell) or any(_white_box(c) and c.success.sum() > cell.success.sum() for c in peers):
        return
    for other in peers:
        if other.entry.access not in ("", "white-box"):
            yield _weaker(cell, other, other.entry.attack)


def beats_noise(cell: Scored, around: Neighbours) -> Found:
    """noise: what random perturbations break, the attack breaks.

    Warns at the first it misses, fails above a third. Carlini et al. 2019, section 4: compare with brute
    force. The samples are the model's least certain ones; two say nothing.
    """
    for e in around.noise:
        if e.check != f"noise-{cell.entry.norm}" or e.eps is None or cell.eps < e.eps:
            continue
        missed = int((np.isin(around.ids, e.samples) & cell.correct & ~cell.success).sum())
        passed: Grade = "pass" if e.n >= FEWEST else "unchecked"
        grade: Grade = passed if missed == 0 else "fail" if missed > 1 and missed * 3 > e.n else "warn"
        yield grade, f"random noise breaks {missed} of {e.n} samples that the attack does not"


def adaptive(cell: Scored, around: Neighbours) -> Found:
    """adaptive: the attack knows the defences of the model.

    Warns where another one does, fails where none does. Athalye et al. 2018; Tramèr et al. 2020. Withstanding
    an attack that does not know them proves nothing about one that does.
    """
    if cell.entry.role in KNOWS:
        yield "pass", "the attack knows the defences"
    elif cell.entry.role and any(c.entry.role in KNOWS for c in around.cells):
        yield "warn", "carried out as if the defences were not known; see the attacks that know them"
    elif cell.entry.role:
        yield "fail", "attacked only as if its defences were not known"


def _weaker(cell: Scored, other: Scored, name: str) -> tuple[Grade, str]:
    """How ``cell`` fares against ``other``, which should not be stronger."""
    losses, wins = int((other.success & ~cell.success).sum()), int((cell.success & ~other.success).sum())
    gap = (losses - wins) / max(int(cell.correct.sum()), 1)
    detail = f"{cell.asr.value:.1%} success against {other.asr.value:.1%} of {name}"
    if gap <= POINT:
        return "pass", detail
    return "fail" if beats(losses, wins) <= ALPHA else "warn", detail


def _white_box(cell: Scored) -> bool:
    return cell.entry.access == "white-box"


def _same_budget(cell: Scored, around: Neighbours) -> list[Scored]:
    return [
        c
        for c in around.cells
        if c is not cell and (c.entry.eps, c.entry.norm) == (cell.entry.eps, cell.entry.norm)
    ]


OF_STRENGTH = ("more-budget", "iterations", "white-box", "noise")
"""Checks that find an attack too weak."""
CHECKS: dict[str, Callable[[Scored, Neighbours], Found]] = {
    "samples": samples,
    "budget": budget,
    "more-budget": more_budget,
    "iterations": iterations,
    "white-box": white_box,
    "noise": beats_noise,
    "adaptive": adaptive,
}
