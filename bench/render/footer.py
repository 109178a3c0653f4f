"""Under the leaderboard: the comparisons in words, and what the trust checks found."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bench.eps import eps_text
from bench.render.cells import MARKS, p_value, percent, points, signed
from bench.render.rates import title
from bench.render.words import first_line
from bench.scoring.claims import Claim
from bench.scoring.comparison import Comparison, PairedDifference
from bench.scoring.scorecard import Scorecard
from bench.scoring.trust import ORDER, Grade, worst

LISTED = 16
"""Comparisons that are all printed; of more, only those that tell a model from the baseline."""
NAMED = 4
"""Units that a line names at most."""
STYLE: dict[Grade, str] = {"pass": "green", "unchecked": "yellow", "warn": "yellow", "fail": "bold red"}


class Sentence(NamedTuple):
    """A difference in words, whether it was shown, and whether it is from the baseline."""

    text: str
    shown: bool
    from_baseline: bool = True


def sentences(card: Scorecard) -> Iterator[Sentence]:
    """The differences at the headline eps: every pair in the worst case, and every model against the baseline in the rest.

    Over several training seeds the methods are compared, not the single models that they gave.
    """
    for c in () if card.seeds else card.headline:
        text = f"{_pair(c)}: robust accuracy {_difference(c.robust, 'more robust', 'less robust')}"
        yield Sentence(text, c.robust.shown, c.second.name == card.baseline)
    for c in () if card.seeds else card.comparisons:
        if c.eps == card.headline_eps and c.second.name == card.baseline:
            yield Sentence(f"{_pair(c)}: ASR {_difference(c.asr, 'less robust', 'more robust')}", c.asr.shown)
    yield from (Sentence(_claim(c), c.shown, c.baseline == card.baseline) for c in card.claims)


HIGHER = {"robust accuracy": "more robust", "ASR": "less robust", "accuracy": "higher", "certainty": "higher"}
LOWER = {"robust accuracy": "less robust", "ASR": "more robust", "accuracy": "lower", "certainty": "lower"}


def _claim(c: Claim) -> str:
    """lora-fc vs baseline, pgd-10 8/255: certainty -0.077 [-0.091, -0.063], p < 0.001: lower."""
    where = "clean" if c.attack is None else f"{c.attack} {eps_text(c.eps)}"
    text, unit = (signed, "") if c.quantity == "certainty" else (points, " points")
    verdict = _not_shown(c, _detectable(c.detectable, text))
    if c.shown:
        verdict = (HIGHER if c.difference > 0 else LOWER)[c.quantity]
    number = f"{text(c.difference)}{unit} [{text(c.low)}, {text(c.high)}], {p_value(c.p_adjusted)}"
    return f"{c.model} vs {c.baseline}, {where}: {c.quantity} {number}: {verdict}"


def _pair(c: Comparison) -> str:
    first, second = (title(model, c.first.name == c.second.name) for model in (c.first, c.second))
    seed = f" (seed {c.first.seed})" if c.first.seed and c.first.seed == c.second.seed else ""
    return f"{first} vs {second}{seed}, {c.attack} {eps_text(c.eps)}"


def _difference(d: PairedDifference, positive: str, negative: str) -> str:
    """-1.2 points [-3.9, +1.5], p = 0.41: no difference shown (could have shown 3.1)."""
    if not d.n:
        return "cannot be compared: no sample that both get right"
    verdict = _not_shown(d, _detectable(d.detectable, points))
    if d.shown:
        verdict = positive if d.difference > 0 else negative
    return f"{points(d.difference)} points [{points(d.low)}, {points(d.high)}], {p_value(d.p_adjusted)}: {verdict}"


def _not_shown(d: PairedDifference | Claim, detectable: str) -> str:
    """An interval is of one difference alone: where it leaves out zero, it is the correction that takes the difference back."""
    if d.equal:
        return "equal on every sample" + ("" if math.isnan(d.detectable) else f" (could have shown {detectable})")
    alone = d.low > 0 or d.high < 0
    return f"no difference shown{' after correction' if alone else ''} (could have shown {detectable})"


def _detectable(difference: float, text: Callable[[float], str]) -> str:
    return "none" if math.isnan(difference) else text(difference).lstrip("+")


def differences(card: Scorecard) -> Iterator[Table | Text]:
    """The sentences with a line on how they were tested; of many, only those that tell a model from the baseline."""
    said = list(sentences(card))
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
    yield Text(method(card), style="dim")


def _unlisted(said: Sequence[Sentence], listed: int) -> str:
    """67 comparisons that show no difference, 24 between other models."""
    unshown = sum(not s.shown for s in said)
    others = len(said) - unshown - listed
    return f"{unshown} comparisons that show no difference{f', {others} between other models' if others else ''}"


def method(card: Scorecard) -> str:
    """How the differences were tested."""
    if card.seeds:
        how = (
            f"Means of {card.seeds[0].accuracy.seeds} training seeds, t tests in which trainings and samples vary; p by Holm, "
            "over the worst cases and over the rest"
        )
    else:
        how = (
            f"McNemar's mid-p, and paired t tests for certainty; p by Holm over {len(card.headline)} worst cases, "
            f"{len(card.comparisons)} cells{_weighted(card)} and {len(card.claims)} claims"
        )
    return (
        f"{how}; ASR over samples that both models get right; in brackets 95 % of one difference; could have shown: found "
        "with 80 % power."
    )


def _weighted(card: Scorecard) -> str:
    """Which cells have most of their family's level; nothing where all are equal."""
    first = sum(c.eps == card.headline_eps for c in card.comparisons)
    of = f" (80 % of their level for the {first} at {eps_text(card.headline_eps)})"
    return of if 0 < first < len(card.comparisons) else ""


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


def flags(card: Scorecard) -> list[Flag]:
    """Every warning and failure of the trust checks: the cells of one attack together, and attacks with the same finding."""
    by_attack: dict[tuple[str, Grade, str, str], list[str]] = defaultdict(list)
    for cell in card.cells:
        for f in cell.trust.findings if cell.trust else ():
            if f.grade in ("warn", "fail"):
                by_attack[f.check, f.grade, cell.entry.model, cell.entry.attack].append(f.detail)
    found: dict[tuple[str, Grade, str, str], Flag] = {}
    for (check, grade, model, attack), details in by_attack.items():
        same = found.get((check, grade, model, details[0]), Flag(check, grade, model, (), 0, details[0]))
        found[check, grade, model, details[0]] = replace(same, attacks=(*same.attacks, attack), cells=same.cells + len(details))
    return list(found.values())


def unchecked(card: Scorecard) -> list[str]:
    """The checks that had too few samples to fail, each with how many cells it would have been of."""
    lacking = Counter(f.check for c in card.cells for f in (c.trust.findings if c.trust else ()) if f.grade == "unchecked")
    return [f"{check} ({count} {'cell' if count == 1 else 'cells'})" for check, count in lacking.items()]


def unchecked_line(card: Scorecard) -> str | None:
    """How many cells are unchecked, for the head of a leaderboard; None where all are checked."""
    graded = [c.trust.grade for c in card.cells if c.trust is not None]
    if not (count := graded.count("unchecked")):
        return None
    why = "trust: off" if card.trust_level == "off" else "not enough was measured"
    what = f"{count} of {len(graded)} cells are unchecked ({MARKS['unchecked']})"
    return f"{what}: a masked gradient would not have been seen ({why})"


def trust_summary(card: Scorecard) -> tuple[str, Grade]:
    """How many cells have which grade and what could not be checked, and the worst grade; no text where no cell has one."""
    missing = unchecked(card)
    lacking = f"; not checked for lack of samples: {', '.join(missing)}" if missing else ""
    lacking += " (trust: full takes more)" if missing and card.trust_level == "fast" else ""
    return trust_in_short([c.trust.grade for c in card.cells if c.trust is not None], card.trust_cost, lacking)


def trust_in_short(graded: Sequence[Grade], trust_cost: float | None, lacking: str = "") -> tuple[str, Grade]:
    """How many of ``graded`` are of which grade, what is ``lacking``, and the worst grade; no text where there is none."""
    counts = {grade: graded.count(grade) for grade in ORDER if grade in graded}
    said = [f"{count} {grade}{f' ({MARKS[grade]})' if MARKS[grade] else ''}" for grade, count in counts.items()]
    cost = "" if trust_cost is None else f"; the checks took {100 * trust_cost:.0f} % of the attacks' time"
    return f"trust of {len(graded)} cells: {', '.join(said)}{lacking}{cost}" if said else "", worst(graded)


def precision_line(card: Scorecard) -> str | None:
    """What crafting in less than float32 changed; None where all is float32."""
    if card.precision is None:
        return None
    d, crafted = card.precision.differs, card.precision.crafted
    changed = "what that changes was not measured (trust: off, or too few samples)"
    if d is not None:
        changed = f"{d.count} of {d.n} outcomes crafted again in fp32 are others, {percent(d)} %"
    return f"crafted in {crafted}, judged in float32: {changed}"


def unranked(card: Scorecard) -> list[str]:
    """Why a model has no rank."""
    seeds = len({m.model.seed for m in card.models}) > 1
    return [f"{title(m.model, seeds)} has no rank: {m.unranked}" for m in card.models if m.unranked]


def trust_lines(card: Scorecard) -> Iterator[Table | Text]:
    """What was flagged, one check a line, and which models cannot rank for it; or that nothing was."""
    flagged = flags(card)
    if flagged:
        yield _flagged(flagged)
    yield from (Text(line, style=STYLE["fail"]) for line in unranked(card))
    said, grade = trust_summary(card)
    if said:
        yield Text(said, style=STYLE[grade])


def _flagged(flagged: Sequence[Flag]) -> Table:
    table = Table(title="trust: what the checks flagged", box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("check", "grade", "where", "cells", "first finding"):
        table.add_column(name, justify="right" if name == "cells" else "left", overflow="fold", no_wrap=name == "check")
    for f in flagged:
        table.add_row(f.check, Text(f.grade, style=STYLE[f.grade]), escape(f.where), str(f.cells), escape(f.detail))
    return table
