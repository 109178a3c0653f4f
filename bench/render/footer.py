"""Under the leaderboard: the comparisons in words, and what the trust checks found."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bench.eps import eps_text
from bench.render.cells import percent
from bench.render.fitted import fitted
from bench.render.rates import title
from bench.scoring.flags import Flag
from bench.scoring.scorecard import Scorecard
from bench.scoring.sentences import Sentence
from bench.scoring.trust import ORDER, Grade, worst
from bench.text import MARKS, first_line

LISTED = 16
"""Comparisons that are all printed; of more, only those that tell a model from the baseline."""
NAMED = 4
"""Units that a line names at most."""
STYLE: dict[Grade, str] = {"pass": "green", "unchecked": "yellow", "warn": "yellow", "fail": "bold red"}


def differences(card: Scorecard) -> Iterator[Table | Text]:
    """The sentences, and how they were tested; of many, only those that tell a model from the baseline."""
    said = card.sentences
    if not said:
        return
    listed = said if len(said) <= LISTED else [s for s in said if s.shown and s.from_baseline]
    yield Text("differences, paired by sample", style="italic")
    if listed:
        table = Table.grid(padding=(0, 1))
        for sentence in listed:
            table.add_row("•", Text(sentence.text))
        yield table
    if len(listed) < len(said):
        yield Text(f"{'and ' if listed else ''}{_unlisted(said, len(listed))}: --format md lists them")
    yield Text(card.method, style="dim")


def _unlisted(said: Sequence[Sentence], listed: int) -> str:
    """67 comparisons that show no difference, 24 between other models."""
    unshown = sum(not s.shown for s in said)
    others = len(said) - unshown - listed
    return (
        f"{unshown} comparisons that show no difference{f', {others} between other models' if others else ''}"
    )


def failures(card: Scorecard) -> Iterator[str]:
    """Every cell that failed, and why."""
    for e in (cell.entry for cell in card.cells):
        if e.status == "error":
            why = f": {first_line(e.error)}" if e.error else ""
            yield f"{e.id.unit} eps {eps_text(e.eps)}: error{why}"


def not_run(card: Scorecard) -> str | None:
    """Which cells no command has asked for yet; None where there are none."""
    cells = [cell.entry for cell in card.cells if cell.entry.status == "missing"]
    if not cells:
        return None
    units = list(dict.fromkeys(str(e.id.unit) for e in cells))
    more = f" and {len(units) - NAMED} more" if len(units) > NAMED else ""
    alone = "; what was run through one library only stands for itself" if _alone(card) else ""
    return f"not run: {len(cells)} of {len(card.cells)} cells ({', '.join(units[:NAMED])}{more}){alone}"


def _alone(card: Scorecard) -> bool:
    """Whether a rate is through one library where the suite asks for two."""
    done, missing = (
        {(c.entry.id.model, c.entry.id.attack_eps) for c in card.cells if c.entry.status == status}
        for status in ("ok", "missing")
    )
    return bool(done & missing)


def unchecked_line(card: Scorecard) -> str | None:
    """How many cells are unchecked, for the head of a leaderboard; None where all are checked."""
    graded = [c.trust.grade for c in card.cells if c.trust is not None]
    if not (count := graded.count("unchecked")):
        return None
    why = "trust: off" if card.trust_level == "off" else "not enough was measured"
    what = f"{count} of {len(graded)} cells are unchecked ({MARKS['unchecked']})"
    return f"{what}: a masked gradient would not have been seen ({why})"


def trust_summary(card: Scorecard) -> tuple[str, Grade]:
    """How many cells have which grade and what could not be checked, and the worst grade.

    No text where no cell has one.
    """
    missing = [
        f"{check} ({count} {'cell' if count == 1 else 'cells'})" for check, count in card.unchecked.items()
    ]
    lacking = f"; not checked for lack of samples: {', '.join(missing)}" if missing else ""
    lacking += " (trust: full takes more)" if missing and card.trust_level == "fast" else ""
    return trust_in_short(
        [c.trust.grade for c in card.cells if c.trust is not None], card.trust_cost, lacking
    )


def trust_in_short(graded: Sequence[Grade], trust_cost: float | None, lacking: str = "") -> tuple[str, Grade]:
    """How many of ``graded`` have which grade, what is ``lacking``, and the worst grade.

    No text where there is none.
    """
    counts = {grade: graded.count(grade) for grade in ORDER if grade in graded}
    said = [
        f"{count} {grade}{f' ({MARKS[grade]})' if MARKS[grade] else ''}" for grade, count in counts.items()
    ]
    cost = "" if trust_cost is None else f"; the checks took {100 * trust_cost:.0f} % of the attacks' time"
    return f"trust of {len(graded)} cells: {', '.join(said)}{lacking}{cost}" if said else "", worst(graded)


def precision_line(card: Scorecard) -> str | None:
    """What crafting in less than float32 changed; None where all is float32."""
    if card.precision is None:
        return None
    d, crafted = card.precision.differs, card.precision.crafted
    changed = "what that changes was not measured (trust: off, or too few samples)"
    if d is not None:
        changed = f"{d.count} of {d.n} outcomes differ when re-crafted in fp32, {percent(d)} %"
    return f"crafted in {crafted}, judged in float32: {changed}"


def carried_line(card: Scorecard) -> str | None:
    """Which attacks are the worst case over their eps; None where none is."""
    if not card.carried:
        return None
    what = "what breaks a sample at one eps counts at every larger one, where it is not attacked again"
    return f"{', '.join(card.carried)}: the worst case over the grid; {what}"


def unranked(card: Scorecard) -> list[str]:
    """Why a model has no rank."""
    seeds = len({m.model.seed for m in card.models}) > 1
    return [f"{title(m.model, seeds)} has no rank: {m.unranked}" for m in card.models if m.unranked]


def trust_lines(card: Scorecard, width: int) -> Iterator[RenderableType]:
    """What was flagged, one check a line, and which models cannot rank for it; or that nothing was."""
    flagged = card.flags
    if flagged:
        yield _flagged(flagged, width)
    yield from (Text(line, style=STYLE["fail"]) for line in unranked(card))
    said, grade = trust_summary(card)
    if said:
        yield Text(said, style=STYLE[grade])


FLAGGED = ("check", "grade", "where", "cells", "first finding")


def _flagged(flagged: Sequence[Flag], width: int) -> RenderableType:
    rows = [(f.check, Text(f.grade, style=STYLE[f.grade]), f.where, str(f.cells), f.detail) for f in flagged]
    return fitted("trust: what the checks flagged", FLAGGED, rows, width, right=("cells",))
