"""The differences of a scorecard in words: what was shown, and what could have been."""

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple, Protocol

from bench.eps import eps_text
from bench.scoring.claims import Claim
from bench.scoring.comparison import Comparison, PairedDifference
from bench.scoring.over_seeds import SeedScore
from bench.text import interval, p_value, points, signed


class Differences(Protocol):
    """What of a Scorecard the sentences are about."""

    @property
    def seeds(self) -> Sequence[SeedScore]: ...  # noqa: D102
    @property
    def headline(self) -> Sequence[Comparison]: ...  # noqa: D102
    @property
    def comparisons(self) -> Sequence[Comparison]: ...  # noqa: D102
    @property
    def claims(self) -> Sequence[Claim]: ...  # noqa: D102
    @property
    def baseline(self) -> str: ...  # noqa: D102
    @property
    def headline_eps(self) -> Fraction: ...  # noqa: D102


class Sentence(NamedTuple):
    """A difference in words, whether it was shown, and whether it is from the baseline."""

    text: str
    shown: bool
    from_baseline: bool = True


def sentences(card: Differences) -> Iterator[Sentence]:
    """The differences at the headline eps.

    In the worst case they are of every pair, in the rest of every model against the baseline. Over several
    training seeds the methods are compared, not the single models that they gave.
    """
    for c in () if card.seeds else card.headline:
        text = f"{_pair(c)}: robust accuracy {_difference(c.robust, 'more robust', 'less robust')}"
        yield Sentence(text, c.robust.shown, c.second.name == card.baseline)
    for c in () if card.seeds else card.comparisons:
        if c.eps == card.headline_eps and c.second.name == card.baseline:
            yield Sentence(f"{_pair(c)}: ASR {_difference(c.asr, 'less robust', 'more robust')}", c.asr.shown)
    yield from (Sentence(_claim(c), c.shown, c.baseline == card.baseline) for c in card.claims)


HIGHER = {"robust accuracy": "more robust", "ASR": "less robust", "accuracy": "higher", "certainty": "higher"}
LOWER = {"robust accuracy": "less robust", "ASR": "more robust", "accuracy": "lower", "certainty": "lower"}


def _claim(c: Claim) -> str:
    """lora-fc vs baseline, pgd-10 8/255: certainty -0.077 [-0.091, -0.063], p < 0.001: lower."""
    where = "clean" if c.attack is None else f"{c.attack} {eps_text(c.eps)}"
    text, unit = (signed, "") if c.quantity == "certainty" else (points, " points")
    verdict = _not_shown(c, _detectable(c.detectable, text))
    if c.shown:
        verdict = (HIGHER if c.difference > 0 else LOWER)[c.quantity]
    number = f"{text(c.difference)}{unit} {interval(c.low, c.high, text)}, {p_value(c.p_adjusted)}"
    return f"{c.model} vs {c.baseline}, {where}: {c.quantity} {number}: {verdict}"


def _pair(c: Comparison) -> str:
    first, second = (model.title(seeds=c.first.name == c.second.name) for model in (c.first, c.second))
    seed = f" (seed {c.first.seed})" if c.first.seed and c.first.seed == c.second.seed else ""
    return f"{first} vs {second}{seed}, {c.attack} {eps_text(c.eps)}"


def _difference(d: PairedDifference, positive: str, negative: str) -> str:
    """-1.2 points [-3.9, +1.5], p = 0.41: no difference shown (could have shown 3.1)."""
    if not d.n:
        return "cannot be compared: no sample that both get right"
    verdict = _not_shown(d, _detectable(d.detectable, points))
    if d.shown:
        verdict = positive if d.difference > 0 else negative
    gap = f"{points(d.difference)} points {interval(d.low, d.high)}"
    return f"{gap}, {p_value(d.p_adjusted)}: {verdict}"


def _not_shown(d: PairedDifference | Claim, detectable: str) -> str:
    """Intervals are of one difference alone: where one leaves out zero, the correction takes that back."""
    if d.equal:
        return "equal on every sample" + (
            "" if math.isnan(d.detectable) else f" (could have shown {detectable})"
        )
    alone = d.low > 0 or d.high < 0
    return f"no difference shown{' after correction' if alone else ''} (could have shown {detectable})"


def _detectable(difference: float, text: Callable[[float], str]) -> str:
    return "none" if math.isnan(difference) else text(difference).lstrip("+")


def method(card: Differences) -> str:
    """How the differences were tested."""
    if card.seeds:
        how = (
            f"Means of {card.seeds[0].accuracy.seeds} training seeds, t tests in which trainings and samples"
            " vary; p by Holm, over the worst cases and over the rest"
        )
    else:
        how = (
            f"McNemar's mid-p, and paired t tests for certainty; p by Holm over {len(card.headline)} worst"
            f" cases, {len(card.comparisons)} cells{_weighted(card)} and {len(card.claims)} claims"
        )
    return (
        f"{how}; ASR over samples that both models get right; in brackets the 95 % interval of each"
        " difference alone; could have shown: found with 80 % power."
    )


def _weighted(card: Differences) -> str:
    """Which cells have most of their family's level; nothing where all are equal."""
    first = sum(c.eps == card.headline_eps for c in card.comparisons)
    of = f" (80 % of their level for the {first} at {eps_text(card.headline_eps)})"
    return of if 0 < first < len(card.comparisons) else ""
