"""Whether two libraries say the same.

One verdict per model, attack, eps and pair, by how faithfully each carries the attack out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import numpy as np

from bench.attacks.registry import title_of
from bench.ids import ModelId
from bench.scoring.comparison import PairedDifference, Row, paired, paired_chances
from bench.scoring.sign_flip import sign_flip
from bench.scoring.statistics import mcnemar
from bench.store.records import Bools, Records

AGREEMENT = 0.995
"""Share of the attacked samples with the same outcome that an exact pair must reach."""
ALPHA = 0.05
"""Level of the paired test on a pair that is not exact."""
MARGIN = 0.02
"""Difference in success rate up to which two libraries count as equivalent."""
BUDGET_GAP = 0.02
"""How much less distance one library may spend than the other before that is named as the cause."""
LISTED = 20
"""Samples with different outcomes that a verdict lists at most."""

Verdict = Literal["agree", "differ", "undecided", "not comparable", "one library", "incomplete", "not run"]


@dataclass(frozen=True)
class CrossCheck:
    """Two libraries, ``first`` and ``second``, on one question, over the samples that were attacked.

    ``agreement`` is the share of them with the same outcome; ``p_value`` is exact McNemar's on the outcomes,
    or of a random model, which is right only sometimes, the exact sign-flip test's on how often;
    [``gap_low``, ``gap_high``] is the 95 % interval of the first's success rate minus the second's, and
    ``equivalent`` says whether it lies within 2 points. On "differ": ``samples`` that only one library broke,
    the ``stronger`` library, and the likely ``cause`` if something points to one. "undecided": the interval
    reaches beyond 2 points, and no difference that large is shown: the samples are too few to tell. "not
    comparable": the two are not the same algorithm, or nothing was attacked. "one library": no other is asked
    for, can be used here, or has been run. "incomplete": a cell of either failed. "not run": neither was.
    Where there is no other library, ``second`` is empty.
    """

    model: ModelId
    attack: str
    eps: Fraction
    first: str
    second: str
    verdict: Verdict
    agreement: float | None = None
    asr_first: float | None = None
    asr_second: float | None = None
    p_value: float | None = None
    gap_low: float | None = None
    gap_high: float | None = None
    equivalent: bool | None = None
    stronger: str | None = None
    samples: tuple[str, ...] = ()
    cause: str | None = None

    @property
    def pair(self) -> str:
        """The two libraries in prose."""
        return f"{title_of(self.first)} and {title_of(self.second)}" if self.second else title_of(self.first)

    @property
    def gap(self) -> float | None:
        """How far apart the two attack success rates are."""
        if self.asr_first is None or self.asr_second is None:
            return None
        return abs(self.asr_first - self.asr_second)


@dataclass(frozen=True)
class Extremes:
    """The cross-checks of one attack with one verdict: how many ``cells``, and the worst of them.

    ``pair`` names the two libraries where several pairs were asked, else it is empty. ``lowest_agreement`` is
    None where nothing was compared; ``widest`` is the check whose gap may be the largest, by its interval.
    """

    attack: str
    pair: str
    verdict: Verdict
    cells: int
    lowest_agreement: float | None
    widest: CrossCheck


def pairs(checks: Iterable[CrossCheck]) -> list[str]:
    """The pairs of libraries that were asked the same question, in prose."""
    return list(dict.fromkeys(c.pair for c in checks if c.second))


def extremes(checks: Sequence[CrossCheck]) -> tuple[Extremes, ...]:
    """``checks`` by attack, in their order, by pair of libraries and by verdict."""
    several = len(pairs(checks)) > 1
    groups: dict[tuple[str, str, Verdict], list[CrossCheck]] = {}
    for c in checks:
        groups.setdefault((c.attack, c.pair if several else "", c.verdict), []).append(c)
    order = list(dict.fromkeys(c.attack for c in checks))
    grouped = sorted(groups.items(), key=lambda group: order.index(group[0][0]))
    return tuple(Extremes(*named, len(rows), *_worst(rows)) for named, rows in grouped)


def _worst(rows: Sequence[CrossCheck]) -> tuple[float | None, CrossCheck]:
    agreements = [c.agreement for c in rows if c.agreement is not None]
    return min(agreements, default=None), max(rows, key=lambda c: max(-(c.gap_low or 0), c.gap_high or 0))


def judge(asked: CrossCheck, pairing: str, norm: str, first: Records, second: Records) -> CrossCheck:
    """``asked`` with the verdict, from the two libraries' records of the same samples."""
    attacked = (first.before > 0) | (second.before > 0)
    if not attacked.any():
        return replace(asked, verdict="not comparable", cause="no sample was attacked")
    random = first.adv_right is not None or second.adv_right is not None
    difference, apart = _chances(first, second, attacked) if random else _outcomes(first, second, attacked)
    agreement = 1 - float(apart[attacked].mean())
    equivalent = difference.low >= -MARGIN and difference.high <= MARGIN
    exact = pairing == "exact" and not random  # each library meets other draws
    verdict = _exact(agreement) if exact else _statistical(difference, equivalent)
    found = replace(
        asked,
        verdict=verdict if pairing in ("exact", "statistical") else "not comparable",
        agreement=agreement,
        asr_first=difference.first,
        asr_second=difference.second,
        p_value=difference.p_value,
        gap_low=difference.low,
        gap_high=difference.high,
        equivalent=equivalent,
    )
    if found.verdict != "differ":
        return found
    return replace(
        found,
        stronger=_stronger(found, difference),
        samples=tuple(str(i) for i in first.id[apart > 0][:LISTED]),
        cause=_cause(found, norm, first, second),
    )


def _outcomes(first: Records, second: Records, attacked: Bools) -> tuple[PairedDifference, Row]:
    """The paired success rates on ``attacked``, and of each sample (N) whether the outcomes are apart."""
    found = paired(first.success[attacked], second.success[attacked])
    exact = mcnemar(found.only_first, found.only_second)  # a library is blamed by no mid-p
    return replace(found, p_value=exact), (first.success != second.success).astype(np.float64)


def _chances(first: Records, second: Records, attacked: Bools) -> tuple[PairedDifference, Row]:
    """The same of a random model: how often right answers to each sample become wrong, and how far apart."""
    a, b = (r.before.astype(np.float64) * (1 - r.after.astype(np.float64)) for r in (first, second))
    often = float(np.mean([r.before[attacked].mean(dtype=np.float64) for r in (first, second)]))
    found = paired_chances(a[attacked], b[attacked])
    rates = {name: getattr(found, name) / often for name in ("first", "second", "difference", "low", "high")}
    return replace(found, p_value=sign_flip((a - b)[attacked], mid=False), **rates), np.abs(a - b) / often


def _exact(agreement: float) -> Verdict:
    """Exact pairs must agree sample by sample."""
    return "agree" if agreement >= AGREEMENT else "differ"


def _statistical(difference: PairedDifference, equivalent: bool) -> Verdict:
    """Equivalence must be shown, as difference must: by the interval within the margin (Schuirmann 1987)."""
    if equivalent:
        return "agree"
    return "differ" if difference.p_value < ALPHA and abs(difference.difference) > MARGIN else "undecided"


def _stronger(found: CrossCheck, difference: PairedDifference) -> str | None:
    if not difference.difference:
        return None
    return found.first if difference.difference > 0 else found.second


def _cause(found: CrossCheck, norm: str, first: Records, second: Records) -> str | None:
    """What the records alone point to: other clean predictions, or another use of the budget."""
    if not np.array_equal(first.clean_pred, second.clean_pred):
        return "the clean predictions differ: the model was not the same, or is not deterministic"
    spent = [float(getattr(r, norm)[r.before > 0].mean(dtype=np.float64)) for r in (first, second)]
    if min(spent) < (1 - BUDGET_GAP) * max(spent):
        less = found.first if spent[0] < spent[1] else found.second
        return f"{less} spends less of the budget: mean {norm} {min(spent):.4g} against {max(spent):.4g}"
    return None
