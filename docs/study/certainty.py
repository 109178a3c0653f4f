"""(c): certainty under attackers who see no gradients."""

from collections.abc import Iterator, Sequence

import numpy as np

from bench.eps import eps_text
from bench.ids import AttackEps
from bench.scoring.published import PublishedCell, levels
from bench.scoring.statistics import holm
from docs.study.answer import NOTHING, Answer, several
from docs.study.found import Difference, Found, of_same_models, tested
from docs.study.tables import WOULD, certain, models_table, numbers, percent, seen, span_seen, table

NOT_BLACK_BOX = ("pgd", "noise")
"""What stands beside black-box attacks for comparison: one that sees gradients, and one that sees nothing."""
HEAD = ["model", "attack", "ASR, % [95 %]", "certainty before", "under attack", "change [95 %]", "answer",
        WOULD]  # fmt: skip


def certainty_falls(runs: Sequence[Found]) -> Answer:
    """Certainty under each attack minus certainty before it, of the same model on the same samples."""
    lines: list[str] = []
    short: list[str] = []
    for found in runs:
        drops = list(_drops(found))
        rows = [_row(found, *drop) for drop in drops]
        lines += [
            "",
            f"### {found.name}",
            "",
            *models_table(found),
            "",
            *table(HEAD, rows),
            *_left_out(found),
        ]
        black = [d for at, d in drops if not at.attack.startswith(NOT_BLACK_BOX)]
        if black and found in several(runs):
            short += _said(black, [d for at, d in drops if at.attack.startswith("pgd")])
    return Answer(". ".join(short) or NOTHING, lines)


def _left_out(found: Found) -> list[str]:
    unsound = {f"{c.model} under {c.attack}" for c in found.published.cells if not c.sound and c.certainty}
    return (
        ["", f"Left out, since a trust check fails there: {', '.join(sorted(unsound))}."] if unsound else []
    )


def _said(black: Sequence[Difference], seeing: Sequence[Difference]) -> Iterator[str]:
    falls, rises, null = (
        [d for d in black if d.shown and d.difference < 0],
        [d for d in black if d.shown and d.difference > 0],
        [d for d in black if not d.shown],
    )
    yield (
        f"Of {len(black)} pairs of model and black-box attack, certainty falls in {len(falls)}, rises in"
        f" {len(rises)}, and no change is shown in {len(null)}"
        + (f", where {span_seen(null)} would have been seen" if null else "")
    )
    yield f"The changes are {_span(black)}"
    if seeing:
        fallen = sum(d.shown and d.difference < 0 for d in seeing)
        yield f"Under PGD, which sees gradients, it falls in {fallen} of {len(seeing)}: {_span(seeing)}"


def _span(found: Sequence[Difference]) -> str:
    low, high = min(found, key=lambda d: d.difference), max(found, key=lambda d: d.difference)
    return f"from {numbers(low)} ({low.model}, {low.where}) to {numbers(high)} ({high.model}, {high.where})"


def _drops(found: Found) -> Iterator[tuple[AttackEps, Difference]]:
    run = found.published
    clean = {m.id: levels(m.certainty, run.samples) for m in run.models}
    cells: dict[tuple[str, AttackEps], list[PublishedCell]] = {}
    for cell in run.cells:
        if cell.certainty is not None and cell.sound:
            cells.setdefault((cell.model, AttackEps(cell.attack, cell.eps)), []).append(cell)
    whole = {at: own for at, own in cells.items() if len(own) == found.seeds}
    asked = {
        at: of_same_models(
            np.stack([levels(c.certainty or "", run.samples) for c in own]),
            np.stack([clean[c.id] for c in own]),
            0.05 / len(whole),
        )
        for at, own in whole.items()
    }
    for ((model, at), d), p in zip(asked.items(), holm([d.p_value for d in asked.values()]), strict=True):
        yield (
            at,
            tested(model, "certainty before", "certainty", f"{at.attack} {eps_text(at.eps)}", d, p),
        )


def _row(found: Found, at: AttackEps, d: Difference) -> list[str]:
    (rate,) = [r for r in found.scored.rates if (r.model, r.attack, r.eps) == (d.model, at.attack, at.eps)]
    (model,) = [m for m in found.scored.models if m.model == d.model]
    answer = f"no change shown{d.corrected}" if not d.shown else "falls" if d.difference < 0 else "rises"
    return [
        d.model,
        d.where,
        percent(rate.asr),
        certain(model.certainty),
        certain(rate.certainty),
        numbers(d),
        f"**{answer}**",
        seen(d),
    ]
