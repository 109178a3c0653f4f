"""All runs of a suite in one ranking: every model of every run that answers the same question."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from bench.comparison.runs import RunSummary, UnusableRun, summaries
from bench.ids import AttackEps, ModelId
from bench.scoring.comparison import WORST_CASE, compare_models, ranks
from bench.scoring.model_ranking import ModelRanking, Place
from bench.scoring.record_checks import Scored
from bench.scoring.remarks import Remark, out_of_order, unranked


@dataclass(frozen=True)
class Entrant:
    """A model as it stands among those of all ``runs`` (ids, newest first) in which it did exactly this."""

    place: Place
    runs: tuple[str, ...]


@dataclass(frozen=True)
class Ranking:
    """The models, best first, of all runs of ``suite`` with the same ``attacks`` at ``headline_eps``.

    The runs are on the same ``samples``. Ranks rest on paired tests of every two, corrected over them all, as
    in one run: see bench.scoring.model_ranking.
    """

    suite: str
    headline_eps: Fraction
    samples: int
    attacks: tuple[str, ...]
    entrants: tuple[Entrant, ...]

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """Why models have no rank, and why one stands above another of higher robust accuracy."""
        places = [e.place for e in self.entrants]
        return tuple(dict.fromkeys((*unranked(places), *out_of_order(places))))


@dataclass(frozen=True)
class RankedRuns:
    """The runs of a folder, newest first, and their rankings.

    There is one a suite, or more where it asked different questions.
    """

    runs: tuple[RunSummary | UnusableRun, ...]
    rankings: tuple[Ranking, ...]

    @property
    def is_complete(self) -> bool:
        """Every cell of every run has numbers."""
        return all(run.is_complete for run in self.runs)


def ranked(folder: Path) -> RankedRuns:
    """Every run under ``folder``, ranked. Raises UserError if there is none."""
    runs = tuple(summaries(folder))
    return RankedRuns(runs, tuple(rankings([run for run in runs if isinstance(run, RunSummary)])))


def rankings(runs: Sequence[RunSummary]) -> Iterator[Ranking]:
    """A ranking for each question that ``runs`` ask, in their order."""
    asked: dict[tuple[object, ...], list[RunSummary]] = {}
    for run in runs:
        asked.setdefault(_question(run.model_ranking), []).append(run)
    for alike in asked.values():
        first = alike[0].model_ranking
        samples = len(first.cells[0].correct) if first.cells else 0
        yield Ranking(first.suite, first.headline_eps, samples, _attacks(first), tuple(_entrants(alike)))


def _question(model_ranking: ModelRanking) -> tuple[object, ...]:
    """What two runs must have in common to be ranked together."""
    ids = model_ranking.cells[0].outcomes.id.tobytes() if model_ranking.cells else b""
    through = frozenset((c.entry.attack, c.entry.library) for c in _headline(model_ranking))
    return model_ranking.suite, model_ranking.headline_eps, ids, through


def _headline(model_ranking: ModelRanking) -> list[Scored]:
    return [cell for cell in model_ranking.cells if cell.entry.eps == model_ranking.headline_eps]


def _attacks(model_ranking: ModelRanking) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cell.entry.attack for cell in _headline(model_ranking)))


def _entrants(runs: Sequence[RunSummary]) -> list[Entrant]:
    """The models of ``runs``, ranked, best first; one that did the same in several stands there once."""
    places: dict[tuple[object, ...], Place] = {}
    named: dict[tuple[object, ...], list[str]] = {}
    outcomes = {}
    for run in runs:
        for place in run.model_ranking.places:
            worst = run.model_ranking.worst_cases.get(place.model)
            did = (worst.correct.tobytes(), worst.wrong.tobytes(), place.trust) if worst else run.path
            key = (place.model, did)
            places.setdefault(key, place)
            named.setdefault(key, []).append(run.path.name)
            if place.model in run.model_ranking.sound:
                outcomes[key] = run.model_ranking.sound[place.model]
    where = AttackEps(WORST_CASE, runs[0].model_ranking.headline_eps)
    ids = {key: ModelId(str(i), places[key].model.seed) for i, key in enumerate(outcomes)}
    asked = {ids[key]: {where: outcome} for key, outcome in outcomes.items()}
    rank = ranks(list(asked), compare_models(asked, across=True, headline=where.eps))
    found = [
        Entrant(replace(p, rank=rank.get(ids[k]) if k in ids else None), tuple(named[k]))
        for k, p in places.items()
    ]
    return sorted(found, key=lambda e: e.place.standing.key())
