"""Models over their training seeds: what can be said of a way to adapt, rather than of one model it gave."""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.ids import AttackEps, ModelId
from bench.scoring.certainty import Certainties
from bench.scoring.claims import Claim
from bench.scoring.comparison import Outcome
from bench.scoring.metrics import Metrics
from bench.scoring.model_ranking import ModelRanking
from bench.scoring.standing import Standing
from bench.scoring.statistics import AcrossSeeds, Table, across_seeds
from bench.scoring.trust import Grade, worst


@dataclass(frozen=True)
class SeedScore:
    """One model over its training seeds; ``certainty`` is a mean over them.

    Its 95 % interval has training in it. ``worst_case`` is robust accuracy at the headline eps against the
    worst attack on each sample. ``rank`` is 1 + the number of models shown to be more robust with the
    training varying too; None where a seed's model cannot rank.
    """

    model: str
    accuracy: AcrossSeeds
    certainty: float
    certainty_low: float
    certainty_high: float
    worst_case: AcrossSeeds
    rank: int | None
    trust: Grade

    @property
    def standing(self) -> Standing:
        """What it is listed by; of all its seeds there is one."""
        return Standing(ModelId(self.model, 0), self.rank, self.worst_case.mean, self.accuracy.mean)


@dataclass(frozen=True)
class SeedRate:
    """One attack at one eps on one model over its seeds, with all libraries as one attacker.

    ``certainty_adv`` is a mean. [``certainty_adv_low``, ``certainty_adv_high``] is its 95 % interval, with
    training variation. ``asr`` is None where a seed's model gets no sample right.
    """

    model: str
    attack: str
    eps: Fraction
    asr: AcrossSeeds | None
    robust_accuracy: AcrossSeeds
    certainty_adv: float
    certainty_adv_low: float
    certainty_adv_high: float
    trust: Grade


def seed_scores(
    worst_cases: Mapping[ModelId, Outcome],
    sound: Container[ModelId],
    known: Mapping[ModelId, tuple[float, Grade]],
    claims: Sequence[Claim],
    certainties: Certainties,
) -> tuple[SeedScore, ...]:
    """Each model of ``worst_cases`` that has several seeds, most robust first.

    ``sound`` are those that can rank; ``known`` has the clean certainty and the grade of each.
    """
    found = []
    for name, own in _by_name(worst_cases).items():
        if len(own) > 1:
            rank = (
                1 + sum(_loses(name, claim) for claim in claims)
                if all(model in sound for model in own)
                else None
            )
            right, robust = (
                _table(worst_cases[m].before for m in own),
                _table(worst_cases[m].robust for m in own),
            )
            certainty, grades = zip(*(known[model] for model in own), strict=True)
            sure = certainties.across(own, None)
            shares = across_seeds(right), float(np.mean(certainty)), sure.low, sure.high, across_seeds(robust)
            found.append(SeedScore(name, *shares, rank, worst(grades)))
    return tuple(sorted(found, key=lambda s: s.standing.key()))


def _loses(name: str, claim: Claim) -> bool:
    """Whether ``claim`` says that another model is more robust in the worst case."""
    return (
        claim.quantity == "robust accuracy"
        and name in (claim.model, claim.baseline)
        and claim.better not in (name, None)
    )


def seed_rates(
    outcomes: Mapping[ModelId, Mapping[AttackEps, Outcome]],
    model_ranking: ModelRanking,
    numbers: Mapping[str, Metrics],
    certainties: Certainties,
) -> Iterator[SeedRate]:
    """Every attack at every eps on each model that has several seeds, all of which have finished."""
    cells: dict[tuple[str, AttackEps], list[str]] = defaultdict(list)
    for scored in model_ranking.cells:
        cells[scored.entry.model, scored.entry.id.attack_eps].append(scored.entry.key)
    for name, own in _by_name(outcomes).items():
        for at in outcomes[own[0]] if len(own) > 1 else ():
            found = [outcomes[model][at] for model in own if at in outcomes[model]]
            if len(found) == len(own):
                keys, sure = cells[name, at], certainties.across(own, at)
                yield SeedRate(
                    name,
                    at.attack,
                    at.eps,
                    across_seeds(_table(o.lost for o in found))
                    if all(o.correct.any() for o in found)
                    else None,
                    across_seeds(_table(o.robust for o in found)),
                    float(np.mean([numbers[key].certainty_adv for key in keys])),
                    sure.low,
                    sure.high,
                    worst([model_ranking.grades[key].grade for key in keys]),
                )


def _by_name(models: Iterable[ModelId]) -> dict[str, list[ModelId]]:
    """The seeds of each model, together."""
    found: dict[str, list[ModelId]] = defaultdict(list)
    for model in models:
        found[model.name].append(model)
    return found


def _table(rows: Iterable[npt.NDArray[Any]]) -> Table:
    return np.stack([row.astype(np.float64) for row in rows])
