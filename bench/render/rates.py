"""Attack success rates in words, for every table that shows them."""

from bench.render.cells import NONE, across, interval, percent, points
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


def asr_gap(c: CrossCheck) -> str:
    """+1.2 [-0.4, +2.9]: Foolbox's success rate minus ART's in points, with its interval; a dash where none was attacked."""
    if c.asr_foolbox is None or c.asr_art is None or c.gap_low is None or c.gap_high is None:
        return NONE
    return f"{points(c.asr_foolbox - c.asr_art)} {interval(c.gap_low, c.gap_high)}"


UNDECIDED = "undecided: too few samples to show that the two lie within 2 points of each other, or that they do not"


def title(model: ModelScore | CrossCheck | CellEntry | CurveScore, seeds: bool) -> str:
    """A model's name, with its training seed where there are several."""
    return f"{model.model} #{model.seed}" if seeds else model.model
