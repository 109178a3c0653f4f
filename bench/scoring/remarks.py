"""What must be known to read a run's numbers, in words: the same sentences in every format."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.eps import eps_text
from bench.scoring.crosscheck import CrossCheck, pairs
from bench.scoring.flags import Flag
from bench.scoring.model_ranking import Place
from bench.scoring.standing import Listed, why_out_of_order
from bench.scoring.statistics import Proportion
from bench.scoring.trust import ORDER, Grade, worst
from bench.store import CellEntry
from bench.text import MARKS, first_line, share_with_interval

Kind = Literal[
    "unchecked",
    "order",
    "carried",
    "precision",
    "cross-check",
    "flag",
    "unranked",
    "trust",
    "error",
    "not run",
]
UNDECIDED = (
    "undecided: too few samples to show that the two lie within 2 points of each other, or that they do not"
)
UNITS, SAMPLES = 4, 3
"""Units and samples that a remark names at most; the JSON names all."""


@dataclass(frozen=True)
class Remark:
    """One sentence on a run.

    ``about`` names the model, cell, check or attacks that it is about; it is empty where that is the whole
    run. ``grade`` says how far the numbers can be trusted for it, None where it takes nothing from them.
    """

    kind: Kind
    text: str
    about: str = ""
    grade: Grade | None = None


def unchecked(grades: Sequence[Grade], level: str) -> Iterator[Remark]:
    """How many cells are unchecked under ``level`` of trust, and why."""
    if count := grades.count("unchecked"):
        why = "trust: off" if level == "off" else "not enough was measured"
        what = f"{count} of {len(grades)} cells are unchecked ({MARKS['unchecked']})"
        text = f"{what}: a masked gradient would not have been seen ({why})"
        yield Remark("unchecked", text, grade="unchecked")


def out_of_order(models: Iterable[Listed]) -> Iterator[Remark]:
    """Why one of ``models``, which are listed best first, stands above one of higher robust accuracy."""
    if why := why_out_of_order(models):
        yield Remark("order", why)


def carried(attacks: Sequence[str]) -> Iterator[Remark]:
    """Which attacks are the worst case over their eps."""
    if attacks:
        what = "what breaks a sample at one eps counts at every larger one, where it is not attacked again"
        yield Remark("carried", f"{', '.join(attacks)}: the worst case over the grid; {what}")


def precision(crafted: str, differs: Proportion | None) -> Remark:
    """What crafting in ``crafted``, which is less than float32, changed."""
    changed = "what that changes was not measured (trust: off, or too few samples)"
    if differs is not None:
        share = share_with_interval(differs.value, differs.low, differs.high)
        changed = f"{differs.count} of {differs.n} outcomes differ when re-crafted in fp32, {share} %"
    return Remark("precision", f"crafted in {crafted}, judged in float32: {changed}")


def crosschecked(checks: Sequence[CrossCheck]) -> Iterator[Remark]:
    """Where two libraries differ and what points to a cause; and, once, that some checks are undecided."""
    several = len(pairs(checks)) > 1
    for c in checks:
        if c.verdict == "differ":
            where = f"{c.model}/{c.attack} eps {eps_text(c.eps)}{f', {c.pair}' if several else ''}"
            yield Remark("cross-check", f"{where}: {_apart(c)}", where, "fail")
    if any(c.verdict == "undecided" for c in checks):
        yield Remark("cross-check", UNDECIDED, grade="unchecked")


def _apart(c: CrossCheck) -> str:
    stronger = f"{c.stronger} is stronger" if c.stronger else "neither is stronger"
    names = ", ".join(c.samples[:SAMPLES]) + (", ..." if len(c.samples) > SAMPLES else "")
    return f"{stronger} (samples {names}){f'; likely cause: {c.cause}' if c.cause else ''}"


def flagged(flags: Iterable[Flag]) -> Iterator[Remark]:
    """What the trust checks flagged."""
    for f in flags:
        text = f"{f.check}: {f.grade} on {f.where}, cells: {f.cells}: {f.detail}"
        yield Remark("flag", text, f.where, f.grade)


def unranked(places: Sequence[Place]) -> Iterator[Remark]:
    """Which models have no rank, and why."""
    seeds = len({place.model.seed for place in places}) > 1
    for place in places:
        if place.unranked:
            name = place.model.title(seeds=seeds)
            yield Remark("unranked", f"{name} has no rank: {place.unranked}", name, "fail")


def trust(
    grades: Sequence[Grade],
    cost: float | None = None,
    untold: Mapping[str, int] | None = None,
    level: str = "full",
) -> Iterator[Remark]:
    """How many cells have which grade; nothing where none has one.

    ``cost`` is the time of the checks over that of the attacks, ``untold`` has the checks that had too few
    samples, each with the number of its cells; at ``level`` "fast" a higher one takes more samples.
    """
    if not grades:
        return
    counts = {grade: grades.count(grade) for grade in ORDER if grade in grades}
    said = [f"{n} {grade}{f' ({MARKS[grade]})' if MARKS[grade] else ''}" for grade, n in counts.items()]
    spent = "" if cost is None else f"; the checks took {100 * cost:.0f} % of the attacks' time"
    text = f"trust of {len(grades)} cells: {', '.join(said)}{_untold(untold or {}, level)}{spent}"
    yield Remark("trust", text, grade=worst(grades))


def _untold(checks: Mapping[str, int], level: str) -> str:
    if not checks:
        return ""
    named = [f"{check} ({count} {'cell' if count == 1 else 'cells'})" for check, count in checks.items()]
    more = " (trust: full takes more)" if level == "fast" else ""
    return f"; not checked for lack of samples: {', '.join(named)}{more}"


def failed(cells: Iterable[CellEntry]) -> Iterator[Remark]:
    """Every cell of ``cells`` that failed, and why."""
    for cell in cells:
        if cell.status == "error":
            where = f"{cell.id.unit} eps {eps_text(cell.eps)}"
            why = f": {first_line(cell.error)}" if cell.error else ""
            yield Remark("error", f"{where}: error{why}", where, "fail")


def not_run(cells: Sequence[CellEntry]) -> Iterator[Remark]:
    """How many of ``cells`` no command has asked for yet, and of which units."""
    missing = [cell for cell in cells if cell.status == "missing"]
    if missing:
        units = list(dict.fromkeys(str(cell.id.unit) for cell in missing))
        more = f" and {len(units) - UNITS} more" if len(units) > UNITS else ""
        alone = "; numbers through one library alone are not cross-checked" if _alone(cells) else ""
        which = f"{', '.join(units[:UNITS])}{more}"
        text = f"not run: {len(missing)} of {len(cells)} cells ({which}){alone}"
        yield Remark("not run", text, grade="unchecked")


def _alone(cells: Sequence[CellEntry]) -> bool:
    """Whether a rate is through one library where the suite asks for two."""
    done, missing = (
        {(cell.id.model, cell.id.attack_eps) for cell in cells if cell.status == status}
        for status in ("ok", "missing")
    )
    return bool(done & missing)
