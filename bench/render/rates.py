"""Attack success rates in words, for every table that shows them."""

from bench.render.cells import across, percent
from bench.scoring.crosscheck import CrossCheck
from bench.scoring.scorecard import CurveScore, ModelScore, Scorecard
from bench.store import CellEntry

ERROR = "error"
"""Stands for a rate that was asked for and is not there."""
Rates = dict[str, dict[tuple[str, str], str]]
"""By model, the attack success rate in words of each (attack, eps) that was asked."""


def success_rates(card: Scorecard) -> Rates:
    """The rates of every model; of several training seeds, those over all of them."""
    return _over_seeds(card) if card.seeds else _alone(card)


def _alone(card: Scorecard) -> Rates:
    seeds = len({m.seed for m in card.models}) > 1
    own = {(m.model, m.seed): title(m, seeds) for m in card.models}
    found: Rates = {name: {} for name in own.values()}
    for c in card.crosschecks:
        found[own[c.model, c.seed]][c.attack, c.eps] = ERROR
    for a in card.attacks:
        found[own[a.model, a.seed]][a.attack, a.eps] = percent(a.asr, a.trust)
    return found


def _over_seeds(card: Scorecard) -> Rates:
    found: Rates = {s.model: {} for s in card.seeds}
    for c in card.crosschecks:
        found.setdefault(c.model, {})[c.attack, c.eps] = ERROR
    for r in card.seed_rates:
        found[r.model][r.attack, r.eps] = " ".join(across(r.asr, r.trust))
    return found


def title(model: ModelScore | CrossCheck | CellEntry | CurveScore, seeds: bool) -> str:
    """A model's name, with its training seed where there are several."""
    return f"{model.model} #{model.seed}" if seeds else model.model
