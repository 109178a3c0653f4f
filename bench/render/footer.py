"""Under the leaderboard: the comparisons in words, and what the trust checks found."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bench.render.cells import MARKS, p_value, percent, points
from bench.scoring.comparison import Comparison, PairedDifference
from bench.scoring.scorecard import CellScore, Scorecard, SeedScore
from bench.scoring.statistics import AcrossSeeds
from bench.scoring.trust import ORDER, Finding, Grade, worst

STYLE: dict[Grade, str] = {"pass": "green", "unchecked": "yellow", "warn": "yellow", "fail": "bold red"}


def sentences(card: Scorecard) -> Iterator[str]:
    """The differences at the headline eps: every pair in the worst case, and every model against the baseline by attack."""
    for c in card.headline:
        yield f"{_pair(c)}: robust accuracy {_difference(c.robust, 'more robust', 'less robust')}"
    for c in card.comparisons:
        if c.eps == card.headline_eps and c.second[0] == card.baseline:
            yield f"{_pair(c)}: ASR {_difference(c.asr, 'less robust', 'more robust')}"


def _pair(c: Comparison) -> str:
    first, second = (f"{name} #{seed}" if c.first[0] == c.second[0] else name for name, seed in (c.first, c.second))
    seed = f" (seed {c.first[1]})" if c.first[1] and c.first[1] == c.second[1] else ""
    return f"{first} vs {second}{seed}, {c.attack} {c.eps}"


def _difference(d: PairedDifference, positive: str, negative: str) -> str:
    """-1.2 points [-3.9, +1.5], p = 0.41: no difference shown (could have shown 3.1)."""
    verdict = f"no difference shown (could have shown {100 * d.detectable:.1f})"
    if d.shown:
        verdict = positive if d.difference > 0 else negative
    return f"{points(d.difference)} points [{points(d.low)}, {points(d.high)}], {p_value(d.p_adjusted)}: {verdict}"


def differences(card: Scorecard) -> Iterator[Text]:
    """The sentences with a line on how they were tested."""
    lines = list(sentences(card))
    if not lines:
        return
    yield Text("differences, paired by sample", style="italic")
    yield from (Text(f" {line}") for line in lines)
    yield Text(
        f" Exact McNemar; p by Holm over {len(card.headline)} worst cases and {len(card.comparisons)} cells; ASR over samples"
        " that both models get right; in brackets 95 % of one difference; could have shown: found with 80 % power.",
        style="dim",
    )


def precision_line(card: Scorecard) -> str | None:
    """What crafting in less than float32 changed; None where all is float32."""
    if card.precision is None:
        return None
    d, crafted = card.precision.differs, card.precision.crafted
    changed = "what that changes was not measured (trust: off, or too few samples)"
    if d is not None:
        changed = f"{d.count} of {d.n} outcomes crafted again in fp32 are others, {percent(d)} %"
    return f"crafted in {crafted}, judged in float32: {changed}"


def trust_lines(card: Scorecard) -> Iterator[Table | Text]:
    """What was flagged, one check a line; or that nothing was."""
    graded = [c for c in card.cells if c.trust is not None]
    flagged = [(c, f) for c in graded if c.trust for f in c.trust.findings if f.grade in ("warn", "fail")]
    if flagged:
        yield _flagged(flagged)
    counts = {grade: sum(c.trust is not None and c.trust.grade == grade for c in graded) for grade in ORDER}
    said = [f"{count} {grade}{f' ({MARKS[grade]})' if MARKS[grade] else ''}" for grade, count in counts.items() if count]
    if said:
        yield Text(f"trust of {len(graded)} cells: {', '.join(said)}", style=STYLE[worst([g for g, n in counts.items() if n])])


def _flagged(flagged: Sequence[tuple[CellScore, Finding]]) -> Table:
    table = Table(title="trust: what the checks flagged", box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("check", "grade", "where", "cells", "first finding"):
        table.add_column(name, justify="right" if name == "cells" else "left", overflow="fold")
    rows = dict.fromkeys((f.check, f.grade, _where(cell)) for cell, f in flagged)
    for check, grade, where in rows:
        found = [f for cell, f in flagged if (f.check, f.grade, _where(cell)) == (check, grade, where)]
        table.add_row(check, Text(grade, style=STYLE[grade]), escape(where), str(len(found)), escape(found[0].detail))
    return table


def _where(cell: CellScore) -> str:
    e = cell.entry
    return f"{e.model}{f' #{e.seed}' if e.seed else ''} {e.attack}"


def seeds_table(seeds: Sequence[SeedScore]) -> Table:
    """Each model over its training seeds."""
    table = Table(title="over training seeds", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("model", overflow="fold")
    for name in ("seeds", "clean acc. %\nmean ± sd", "robust acc. %\nmean ± sd", "robust acc. %\n[95 %, with training]"):
        table.add_column(name, justify="right")
    for s in seeds:
        interval = f"[{100 * s.worst_case.low:.0f}, {100 * s.worst_case.high:.0f}]"
        table.add_row(escape(s.model), str(s.accuracy.seeds), _spread(s.accuracy), _spread(s.worst_case), interval)
    return table


def _spread(s: AcrossSeeds) -> str:
    return f"{100 * s.mean:.1f} ± {100 * s.spread:.1f}"
