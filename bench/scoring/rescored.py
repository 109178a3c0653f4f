"""What was published of a run -> the same intervals, tests and sentences as the run, from its bits alone."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from bench.ids import AttackEps, ModelId
from bench.scoring.adaptive import KNOWS
from bench.scoring.certainty import Certainties
from bench.scoring.chances import mean_chance, success_rate
from bench.scoring.claims import Asked, Claim, claims_among
from bench.scoring.comparison import WORST_CASE, Comparison, Outcome, Row, compare_models
from bench.scoring.defended import DefenceScore, score_defence, with_correction
from bench.scoring.over_seeds import SeedScore, seed_scores
from bench.scoring.published import NAIVE_CASE, Published, PublishedCell, levels
from bench.scoring.sentences import Sentence, method, sentences
from bench.scoring.statistics import Proportion, across_seeds
from bench.scoring.trust import Grade, worst

BESIDES = (WORST_CASE, NAIVE_CASE)
"""What stands among the attacks and is none."""


@dataclass(frozen=True)
class Share:
    """A mean over samples, and over training seeds where there are several, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """One model over its ``seeds``; ``worst_case`` is robust accuracy at the headline eps, or None."""

    model: str
    seeds: int
    trainable_parameters: int
    parameters: int
    accuracy: Share
    certainty: Share
    worst_case: Share | None
    trust: Grade


@dataclass(frozen=True)
class Rate:
    """One attack at one eps on one model over its seeds, all libraries as one attacker.

    ``asr`` is None where a seed's model gets no sample right.
    """

    model: str
    attack: str
    eps: Fraction
    asr: Share | None
    robust_accuracy: Share
    certainty: Share
    trust: Grade


@dataclass(frozen=True)
class Rescored:
    """A published run, scored: a Scorecard without single cells and libraries, which are not published."""

    baseline: str
    headline_eps: Fraction
    models: tuple[Summary, ...]
    rates: tuple[Rate, ...]
    seeds: tuple[SeedScore, ...]
    headline: tuple[Comparison, ...]
    comparisons: tuple[Comparison, ...]
    claims: tuple[Claim, ...]
    defences: tuple[DefenceScore, ...]

    @cached_property
    def sentences(self) -> tuple[Sentence, ...]:
        """The differences at the headline eps in words."""
        return tuple(sentences(self))

    @cached_property
    def method(self) -> str:
        """How the differences were tested, and with what power, in words."""
        return method(self)


@dataclass(frozen=True)
class _Found:
    """What a published run holds, by model: outcomes by attack and eps.

    Of these, ``sound`` are those that can be compared.
    """

    clean: dict[ModelId, Outcome]
    outcomes: dict[ModelId, dict[AttackEps, Outcome]]
    sound: dict[ModelId, dict[AttackEps, Outcome]]
    worst_cases: dict[ModelId, Outcome]
    ranked: dict[ModelId, Outcome]
    naive: dict[ModelId, Outcome]
    certainties: Certainties


def rescore(published: Published) -> Rescored:
    """``published``, scored."""
    found, eps = _read(published), published.headline_eps
    names = list(dict.fromkeys(m.model for m in published.models))
    said = claims_among(list(found.clean), found.ranked, found.sound, _besides(published, found), eps)
    known = {m.id: (float(levels(m.certainty, published.samples).mean()), m.trust) for m in published.models}
    where = AttackEps(WORST_CASE, eps)
    return Rescored(
        baseline=names[0] if names else "",
        headline_eps=eps,
        models=tuple(_summary(name, published, found) for name in names),
        rates=tuple(rate for name in names for rate in _rates(name, published, found)),
        seeds=seed_scores(found.worst_cases, set(found.ranked), known, said, found.certainties),
        headline=compare_models({m: {where: o} for m, o in found.ranked.items()}, across=True, headline=eps),
        comparisons=compare_models(found.sound, across=False, headline=eps),
        claims=said,
        defences=_defences(published, found),
    )


def _read(published: Published) -> _Found:
    models = {m.id: m for m in published.models}
    clean = {m.id: published.outcome(m) for m in published.models}
    found = _Found(clean, {m: {} for m in models}, {m: {} for m in models}, {}, {}, {}, Certainties(models))
    for m in published.models:
        found.certainties.put(m.id, None, levels(m.certainty, published.samples))
    for cell in published.cells:
        outcome, at = published.outcome(models[cell.id], cell), AttackEps(cell.attack, cell.eps)
        if cell.certainty is not None:
            found.certainties.put(cell.id, at, levels(cell.certainty, published.samples))
        for into in _places(cell, found):
            into[cell.id] = outcome
        if cell.attack not in BESIDES:
            found.outcomes[cell.id][at] = outcome
            found.sound[cell.id].update({at: outcome} if cell.sound else {})
    return found


def _places(cell: PublishedCell, found: _Found) -> Sequence[dict[ModelId, Outcome]]:
    if cell.attack == WORST_CASE:
        return [found.worst_cases, found.ranked] if cell.sound else [found.worst_cases]
    return [found.naive] if cell.attack == NAIVE_CASE else []


def _besides(published: Published, found: _Found) -> Iterator[Asked]:
    """What each model says of clean samples, and how certain sound attacks at the headline eps leave it."""
    for m in published.models:
        yield ("accuracy", None), m.model, found.clean[m.id].before
        yield ("certainty", None), m.model, levels(m.certainty, published.samples)
    for cell in published.cells:
        if cell.eps == published.headline_eps and cell.certainty is not None and cell.sound:
            yield ("certainty", cell.attack), cell.model, levels(cell.certainty, published.samples)


def _summary(name: str, published: Published, found: _Found) -> Summary:
    own = [m for m in published.models if m.model == name]
    attacked = [found.worst_cases[m.id].robust for m in own if m.id in found.worst_cases]
    return Summary(
        name,
        len(own),
        own[0].trainable_parameters,
        own[0].parameters,
        share([found.clean[m.id].before for m in own]),
        share([levels(m.certainty, published.samples) for m in own]),
        share(attacked) if len(attacked) == len(own) else None,
        worst([m.trust for m in own]),
    )


def _rates(name: str, published: Published, found: _Found) -> Iterator[Rate]:
    """Of the attacks that have finished on every seed of the model ``name``."""
    own = [m.id for m in published.models if m.model == name]
    cells: Mapping[AttackEps, list[PublishedCell]] = defaultdict(list)
    for cell in published.cells:
        if cell.model == name and cell.attack not in BESIDES:
            cells[AttackEps(cell.attack, cell.eps)].append(cell)
    for at, group in cells.items():
        if len(group) == len(own):
            outcomes = [found.outcomes[m][at] for m in own]
            certainties = [levels(c.certainty or "", published.samples) for c in group]
            yield Rate(
                name, at.attack, at.eps, _asr(outcomes), share([o.robust for o in outcomes]),
                share(certainties), worst([c.trust for c in group]),
            )  # fmt: skip


def _asr(outcomes: Sequence[Outcome]) -> Share | None:
    if not all(o.correct.any() for o in outcomes):
        return None
    if len(outcomes) == 1:
        return _of(success_rate(outcomes[0].before, outcomes[0].robust))
    return share([o.lost for o in outcomes])


def share(rows: Sequence[Row]) -> Share:
    """The mean of ``rows``, one per training seed; its interval counts what varies: trainings and samples."""
    if len(rows) == 1:
        return _of(mean_chance(rows[0]))
    found = across_seeds(np.stack(rows))
    return Share(found.mean, found.low, found.high)


def _of(found: Proportion) -> Share:
    return Share(found.value, found.low, found.high)


def _defences(published: Published, found: _Found) -> tuple[DefenceScore, ...]:
    """The score of each defended model, where all that it stands around has a worst case of its own."""
    knows = {
        c.id
        for c in published.cells
        if c.eps == published.headline_eps and c.role in KNOWS and c.attack not in BESIDES
    }
    scores = []
    for m in published.models:
        members = [ModelId(name, m.seed) for name in m.of]
        known = {member: found.worst_cases[member] for member in members if member in found.worst_cases}
        if m.of and len(known) == len(members):
            everything = found.worst_cases.get(m.id) if m.id in knows else None
            scores.append(score_defence(m, known, found.clean[m.id], found.naive.get(m.id), everything))
    return with_correction(scores)
