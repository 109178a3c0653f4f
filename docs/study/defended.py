"""(d): what each defended model gains over the same weights without defences.

Against attackers who know the defences, and against those who do not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.ids import ModelId
from bench.scoring.comparison import WORST_CASE, PairedDifference, Row
from bench.scoring.defended import DefenceScore
from bench.scoring.published import NAIVE_CASE
from bench.scoring.statistics import MeanDifference, Table, holm
from bench.text import NONE
from docs.study.answer import NOTHING, Answer, several
from docs.study.found import Difference, Found, of_same_models, tested
from docs.study.tables import WOULD, models_table, numbers, seen, span_seen, table

HEAD = ["model", "beside", "gain, attackers do not know [95 %]", "gain, attackers know [95 %]",
        "a gain against these?", WOULD, "clean accuracy [95 %]", "passes an answer"]  # fmt: skip
Measured = MeanDifference | PairedDifference


@dataclass(frozen=True)
class Gain:
    """What ``model`` has more than ``beside``: robust accuracy, by what attackers know, and clean accuracy.

    ``beside`` is the most robust of the models with its weights, in each training anew. Holm corrects over
    the run's models.
    """

    model: str
    beside: str
    naive: Difference | None
    adaptive: Difference
    clean: Difference
    passes: int

    @property
    def answer(self) -> str:
        """Whether it is a gain against attackers who know the defences."""
        d = self.adaptive
        return (
            f"no difference shown{d.corrected}"
            if not d.shown
            else "yes"
            if d.difference > 0
            else "no: a loss"
        )


def defences(runs: Sequence[Found]) -> Answer:
    """Each defended model against attackers who know its defences, and against those who do not."""
    gains = {found.name: list(_gains(found)) for found in runs}
    lines = [line for found in runs for line in _section(found, gains[found.name])]
    names = {found.name for found in several(runs)}
    whole = [gain for name in gains if name in names for gain in gains[name]]
    once = [gain for name in gains if name not in names for gain in gains[name]]
    return Answer(". ".join([*_said(whole), *_said_once(once)]) or NOTHING, lines)


def _section(found: Found, gains: Sequence[Gain]) -> list[str]:
    return ["", f"### {found.name}", "", *models_table(found), "", *table(HEAD, map(_row, gains))]


def _row(gain: Gain) -> list[str]:
    return [
        gain.model,
        gain.beside,
        NONE if gain.naive is None else numbers(gain.naive),
        numbers(gain.adaptive),
        f"**{gain.answer}**",
        seen(gain.adaptive),
        numbers(gain.clean),
        str(gain.passes),
    ]


def _said(gains: Sequence[Gain]) -> Iterator[str]:
    known, naive = [g.adaptive for g in gains], [g.naive for g in gains if g.naive]
    if known:
        low, high = min(known, key=lambda d: d.difference), max(known, key=lambda d: d.difference)
        lost = [d for d in known if d.shown and d.difference < 0]
        yield (
            f"Of {len(known)} defended models, {_gaining(known)} robust accuracy against attackers who know"
            f" the defence, and {len(lost)} to lose some; differences are from {_named(low)} to"
            f" {_named(high)}, and {span_seen(known)} would have been seen"
        )
    if naive:
        yield (
            f"Against attackers who do not know it, {_gaining(naive)} any, and {span_seen(naive)} would have"
            " been seen"
        )


def _said_once(gains: Sequence[Gain]) -> Iterator[str]:
    if gains:
        yield (
            f"Of {len(gains)} others, trained once, {_gaining([g.adaptive for g in gains])} any against"
            " attackers who know"
        )


def _gaining(found: Sequence[Difference]) -> str:
    """1 (squeezed +43.0 points [+35.1, +50.9]) is shown to gain."""
    shown = [d for d in found if d.shown and d.difference > 0]
    said = f" ({'; '.join(map(_named, shown))})" if shown else ""
    return f"{len(shown)}{said} {'is' if len(shown) == 1 else 'are'} shown to gain"


def _named(d: Difference) -> str:
    return f"{d.model} {numbers(d)}"


def _gains(found: Found) -> Iterator[Gain]:
    """Of the models of which every training was attacked by who knows the defences."""
    scores: dict[str, list[DefenceScore]] = {}
    for score in found.scored.defences:
        if score.gain is not None:
            scores.setdefault(score.model.name, []).append(score)
    whole = [own for own in scores.values() if len(own) == found.seeds]
    measured = [_measured(found, own, 0.05 / len(whole)) for own in whole]
    naive = iter(holm([m.p_value for m, _, _ in measured if m]))
    adaptive = holm([m.p_value for _, m, _ in measured])
    for own, (unknown, known, clean), p in zip(whole, measured, adaptive, strict=True):
        model, members = own[0].model.name, own[0].members
        beside = own[0].undefended.name if members == 1 else f"the best of {members}"
        yield Gain(
            model,
            beside,
            None if unknown is None else _gain(model, beside, unknown, next(naive)),
            _gain(model, beside, known, p),
            _gain(model, beside, clean, clean.p_value),
            own[0].passes,
        )


def _gain(model: str, beside: str, d: Measured, p: float) -> Difference:
    return tested(model, beside, "robust accuracy", WORST_CASE, d, p)


def _measured(
    found: Found, own: Sequence[DefenceScore], level: float
) -> tuple[Measured | None, Measured, Measured]:
    """Not knowing, knowing, clean: of one training as in the run's report, of several over these too."""
    first = own[0]
    if len(own) == 1 and first.gain is not None:
        return first.naive_gain, first.gain, first.clean
    models = {m.id: found.published.outcome(m).before for m in found.published.models}
    worst, naive = _cases(found, WORST_CASE), _cases(found, NAIVE_CASE)
    ids, base = [s.model for s in own], [s.undefended for s in own]
    without = _table(worst, base)
    return (
        of_same_models(_table(naive, ids), without, level) if set(ids) <= naive.keys() else None,
        of_same_models(_table(worst, ids), without, level),
        of_same_models(_table(models, ids), _table(models, base), level),
    )


def _table(rows: Mapping[ModelId, Row], ids: Sequence[ModelId]) -> Table:
    return np.stack([rows[one] for one in ids])


def _cases(found: Found, attack: str) -> dict[ModelId, Row]:
    """By model how often each sample is right under ``attack``, which is one of the worst cases."""
    run, models = found.published, {m.id: m for m in found.published.models}
    return {c.id: run.outcome(models[c.id], c).robust for c in run.cells if c.attack == attack}
