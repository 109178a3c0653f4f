"""What defences gain: a defended model beside the same weights without defences.

The attacks know the defences, or do not.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from bench.ids import ModelId
from bench.scoring.adaptive import KNOWS, NAIVE
from bench.scoring.chances import mean_chance
from bench.scoring.comparison import Outcome, PairedDifference, over_family, paired, paired_chances
from bench.scoring.model_ranking import ModelRanking, outcome_of
from bench.scoring.record_checks import Scored
from bench.scoring.statistics import Proportion
from bench.store import ModelEntry
from bench.text import interval, points

UNKNOWING = (NAIVE, "both")


@dataclass(frozen=True)
class DefenceScore:
    """One defended model at the headline eps: ``undefended`` is the most robust of those with its weights.

    ``without``, ``naive`` and ``adaptive`` are robust accuracies in the worst case: of ``undefended``, of the
    defended model against attacks that do not know its defences, and against all. The gains are over
    ``without``, on the same samples; Holm corrects ``gain``, against an adaptive attack, over all defended
    models. ``clean`` is the difference in clean accuracy. What was not measured is None. ``sentence`` says it
    in words.
    """

    model: ModelId
    defences: str
    undefended: ModelId
    members: int
    passes: int
    without: Proportion
    clean: PairedDifference
    naive: Proportion | None
    naive_gain: PairedDifference | None
    adaptive: Proportion | None
    gain: PairedDifference | None
    sentence: str = ""


class Defended(Protocol):
    """What is asked of a defended model's entry, in a run or as it is published."""

    @property
    def id(self) -> ModelId: ...  # noqa: D102
    @property
    def method(self) -> str: ...  # noqa: D102
    @property
    def passes(self) -> int: ...  # noqa: D102


def defence_scores(models: Iterable[ModelEntry], model_ranking: ModelRanking) -> tuple[DefenceScore, ...]:
    """The score of each defended model whose weights have a worst case without defences."""
    return with_correction(
        [one for model in models if model.of and (one := _score(model, model_ranking)) is not None]
    )


def with_correction(found: Sequence[DefenceScore]) -> tuple[DefenceScore, ...]:
    """``found`` with Holm's correction of what each gains over all of them, in words."""
    tested = [one.gain for one in found if one.gain is not None]
    adjusted = iter(over_family(tested))
    whole = [replace(one, gain=next(adjusted)) if one.gain is not None else one for one in found]
    return tuple(replace(one, sentence=_sentence(one)) for one in whole)


def _score(entry: ModelEntry, model_ranking: ModelRanking) -> DefenceScore | None:
    members = [ModelId(name, entry.seed) for name in entry.of]
    known = {
        member: model_ranking.worst_cases[member] for member in members if member in model_ranking.worst_cases
    }
    own = [
        c for c in model_ranking.cells if c.entry.id.model == entry.id and c.eps == model_ranking.headline_eps
    ]
    if len(known) < len(members) or not own:
        return None
    everything = None if _worst(own, KNOWS) is None else outcome_of(own)
    return score_defence(entry, known, outcome_of(own[:1]), _worst(own, UNKNOWING), everything)


def score_defence(
    entry: Defended,
    known: Mapping[ModelId, Outcome],
    clean: Outcome,
    naive: Outcome | None,
    everything: Outcome | None,
) -> DefenceScore:
    """The score of the defended model ``entry``, not yet corrected, over its members' worst cases, ``known``.

    ``clean`` is what it is right in unattacked, ``naive`` and ``everything`` its worst cases against attacks
    that do not know its defences, and against all: None where these were not run.
    """
    undefended = max(known, key=lambda member: known[member].robust.mean())
    base = known[undefended]
    return DefenceScore(
        model=entry.id,
        defences=entry.method,
        undefended=undefended,
        members=len(known),
        passes=entry.passes,
        without=mean_chance(base.robust),
        clean=_difference(clean, base, clean=True),
        naive=None if naive is None else mean_chance(naive.robust),
        naive_gain=None if naive is None else _difference(naive, base),
        adaptive=None if everything is None else mean_chance(everything.robust),
        gain=None if everything is None else _difference(everything, base),
    )


def _worst(cells: Sequence[Scored], roles: Sequence[str]) -> Outcome | None:
    chosen = [cell for cell in cells if cell.entry.role in roles]
    return outcome_of(chosen) if chosen else None


def _difference(first: Outcome, second: Outcome, *, clean: bool = False) -> PairedDifference:
    if first.chances is None and second.chances is None:
        return paired(first.correct, second.correct) if clean else paired(~first.wrong, ~second.wrong)
    return (
        paired_chances(first.before, second.before) if clean else paired_chances(first.robust, second.robust)
    )


def _sentence(score: DefenceScore) -> str:
    """The score in words.

    Squeezed (bit-depth): +31.0 points against a naive attack, +0.4 [-1.1, +1.9] against an adaptive one: no
    gain shown.
    """
    against = f" against the best single member, {score.undefended.name}," if score.members > 1 else ""
    start = f"{score.model.name} ({score.defences}):{against}"
    naive = (
        ""
        if score.naive_gain is None
        else f" {points(score.naive_gain.difference)} points for a naive attack,"
    )
    cost = f"; {_cost(score)}"
    if score.gain is None:
        return f"{start}{naive} and no attack knew the defence: what it gains is not known{cost}"
    gain = score.gain
    gained = f"{points(gain.difference)} {interval(gain.low, gain.high)}"
    return f"{start}{naive} {gained} for an adaptive one: {_verdict(gain)}{cost}"


def _verdict(gain: PairedDifference) -> str:
    if not gain.shown:
        return "no gain shown"
    return "a gain" if gain.difference > 0 else "a loss"


def _cost(score: DefenceScore) -> str:
    """What the defence takes, attacked or not."""
    clean = score.clean
    lost = f"clean accuracy {points(clean.difference)} {interval(clean.low, clean.high)}"
    return f"{lost}, {score.passes} passes per answer" if score.passes > 1 else lost
