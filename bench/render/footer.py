"""Under the leaderboard: the comparisons in words, and what the trust checks found."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bench.render.cells import MARKS, p_value, points
from bench.scoring.comparison import Comparison, PairedDifference
from bench.scoring.over_seeds import SeedComparison, SeedDifference
from bench.scoring.scorecard import CellScore, Scorecard, SeedScore
from bench.scoring.statistics import OverSeeds
from bench.scoring.trust import ORDER, Grade, worst

STYLE: dict[Grade, str] = {"pass": "green", "unchecked": "yellow", "warn": "yellow", "fail": "bold red"}


def sentences(card: Scorecard) -> Iterator[str]:
    """The differences at the headline eps: every pair in the worst case, and every model against the baseline by attack.

    With several training seeds, they are of models over their seeds.
    """
    for worst_case in card.seed_headline or card.headline:
        yield f"{_pair(worst_case)}: robust accuracy {_difference(worst_case.robust, 'more robust', 'less robust')}"
    for c in card.seed_comparisons or card.comparisons:
        if c.eps == card.headline_eps and card.baseline in (c.second, c.second[0]):
            yield f"{_pair(c)}: ASR {_difference(c.asr, 'less robust', 'more robust')}"


def _pair(c: Comparison | SeedComparison) -> str:
    if isinstance(c, SeedComparison):
        return f"{c.first} vs {c.second} over {c.robust.seeds} seeds, {c.attack} {c.eps}"
    first, second = (f"{name} #{seed}" if c.first[0] == c.second[0] else name for name, seed in (c.first, c.second))
    seed = f" (seed {c.first[1]})" if c.first[1] and c.first[1] == c.second[1] else ""
    return f"{first} vs {second}{seed}, {c.attack} {c.eps}"


def _difference(d: PairedDifference | SeedDifference, positive: str, negative: str) -> str:
    """-1.2 points [-3.9, +1.5], p = 0.41: no difference shown (could have shown 3.1)."""
    verdict = f"no difference shown (could have shown {100 * d.detectable:.1f})"
    if d.shown:
        verdict = positive if d.difference > 0 else negative
    return f"{points(d.difference)} points [{points(d.low)}, {points(d.high)}], {p_value(d.p_adjusted)}: {verdict}"


def differences(card: Scorecard) -> Iterator[Table | Text]:
    """The sentences with a line on how they were tested."""
    lines = list(sentences(card))
    if not lines:
        return
    yield Text("differences, paired by sample", style="italic")
    table = Table.grid(padding=(0, 1))
    for line in lines:
        table.add_row("•", Text(line))
    yield table
    yield Text(method(card), style="dim")


def method(card: Scorecard) -> str:
    """How the differences were tested."""
    if card.seed_comparisons:
        test = "t test over seeds and samples, training variation included"
        counts, samples = len(card.seed_headline), "samples that both models get right at every seed"
    else:
        test, counts, samples = "Exact McNemar", len(card.headline), "samples that both models get right"
    cells = len(card.seed_comparisons or card.comparisons)
    return (
        f"{test}; p by Holm over {counts} worst cases and {cells} cells; ASR over {samples};"
        " in brackets 95 % of one difference; could have shown: found with 80 % power."
    )


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
                by_attack[f.check, f.grade, _model(cell), cell.entry.attack].append(f.detail)
    found: dict[tuple[str, Grade, str, str], Flag] = {}
    for (check, grade, model, attack), details in by_attack.items():
        same = found.get((check, grade, model, details[0]), Flag(check, grade, model, (), 0, details[0]))
        found[check, grade, model, details[0]] = replace(same, attacks=(*same.attacks, attack), cells=same.cells + len(details))
    return list(found.values())


def trust_summary(card: Scorecard) -> tuple[str, Grade]:
    """How many cells have which grade, and the worst of these; an empty text where no cell has one."""
    graded = [c.trust.grade for c in card.cells if c.trust is not None]
    counts = {grade: graded.count(grade) for grade in ORDER if grade in graded}
    said = [f"{count} {grade}{f' ({MARKS[grade]})' if MARKS[grade] else ''}" for grade, count in counts.items()]
    cost = "" if card.trust_cost is None else f"; the checks took {100 * card.trust_cost:.0f} % of the attacks' time"
    return f"trust of {len(graded)} cells: {', '.join(said)}{cost}" if said else "", worst(graded)


def trust_lines(card: Scorecard) -> Iterator[Table | Text]:
    """What was flagged, one check a line; or that nothing was."""
    flagged = flags(card)
    if flagged:
        yield _flagged(flagged)
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


def _model(cell: CellScore) -> str:
    e = cell.entry
    return f"{e.model} #{e.seed}" if e.seed else e.model


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


def _spread(s: OverSeeds) -> str:
    return f"{100 * s.mean:.1f} ± {100 * s.spread:.1f}"
