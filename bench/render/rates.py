"""Attack success rates in words, for every table that shows them."""

from bench.attacks.registry import BOTH
from bench.ids import AttackEps
from bench.render.numbers import across, percent
from bench.scoring.crosscheck import CrossCheck, pairs
from bench.scoring.scorecard import Scorecard
from bench.store import CellEntry
from bench.text import NONE, interval, points

ERROR = "error"
"""Stands for a rate that was asked for and is not there."""
NOT_RUN = "not run"
"""Stands for what no command has asked for yet."""
Rates = dict[str, dict[AttackEps, str]]
"""By model, the attack success rate in words of each attack and eps that was asked."""


def success_rates(card: Scorecard) -> Rates:
    """The rates of every model; of several training seeds, those over all of them."""
    return _over_seeds(card) if card.seeds else _alone(card)


def _alone(card: Scorecard) -> Rates:
    own = {m.model: card.title(m.model) for m in card.models}
    found: Rates = {name: {} for name in own.values()}
    for c in card.cells:
        _mark(found[own[c.entry.id.model]], c.entry)
    for a in card.attacks:
        found[own[a.model]][AttackEps(a.attack, a.eps)] = percent(a.asr, a.trust)
    return found


def _over_seeds(card: Scorecard) -> Rates:
    found: Rates = {s.model: {} for s in card.seeds}
    for c in card.cells:
        _mark(found.setdefault(c.entry.model, {}), c.entry)
    for r in card.seed_rates:
        found[r.model][AttackEps(r.attack, r.eps)] = " ".join(across(r.asr, r.trust))
    return found


def _mark(rates: dict[AttackEps, str], cell: CellEntry) -> None:
    """What stands for the rate that ``cell`` belongs to where it has none."""
    where = cell.id.attack_eps
    if cell.status == "error" or where not in rates:
        rates[where] = ERROR if cell.status == "error" else NOT_RUN


def status(cell: CellEntry) -> str:
    """How ``cell`` stands: "ok", "error" or "not run"."""
    return NOT_RUN if cell.status == "missing" else cell.status


def asr_gap(c: CrossCheck) -> str:
    """+1.2 [-0.4, +2.9]: the first library's success rate minus the second's in points, with its interval.

    A dash where any of them is unknown.
    """
    if c.asr_first is None or c.asr_second is None or c.gap_low is None or c.gap_high is None:
        return NONE
    return f"{points(c.asr_first - c.asr_second)} {interval(c.gap_low, c.gap_high)}"


def through(card: Scorecard) -> str:
    """By what a sample of ``card`` counts as broken."""
    used = list(dict.fromkeys(cell.entry.library for cell in card.cells if cell.entry.library != BOTH))
    if len(used) == 1:
        return used[0]
    return "any library" if len(used) > 2 else "either library"


def crosscheck_title(card: Scorecard) -> str:
    """What the cross-checks of ``card`` are of."""
    named = pairs(card.crosschecks)
    if not named:
        return "one library, and no other to check it against"
    return f"{named[0] if len(named) == 1 else 'each two libraries'} on the same question"
