"""Do the two libraries say the same? One verdict per model, attack and eps, by what the contract lets us expect."""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import numpy as np

from bench.ids import CellId, ModelId
from bench.scoring.comparison import PairedDifference, paired
from bench.scoring.statistics import mcnemar
from bench.store.records import Records

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
    """Both libraries on one question, over the samples that were attacked.

    ``agreement`` is the share of them with the same outcome; ``p_value`` is exact McNemar's on the outcomes;
    [``gap_low``, ``gap_high``] is the 95 % interval of Foolbox's success rate minus ART's, and ``equivalent`` says whether it
    lies within 2 points. On "differ": ``samples`` that only one library broke, the ``stronger`` library, and the likely
    ``cause`` if something points to one. "undecided": the interval reaches beyond 2 points, and no difference that large is
    shown: the samples are too few to tell. "not comparable": the two are not the same algorithm, or nothing was attacked.
    "one library": the other is not asked for, or has not been run. "incomplete": a cell of it failed.
    """

    model: ModelId
    attack: str
    eps: Fraction
    verdict: Verdict
    agreement: float | None = None
    asr_foolbox: float | None = None
    asr_art: float | None = None
    p_value: float | None = None
    gap_low: float | None = None
    gap_high: float | None = None
    equivalent: bool | None = None
    stronger: str | None = None
    samples: tuple[str, ...] = ()
    cause: str | None = None

    @property
    def gap(self) -> float | None:
        """How far apart the two attack success rates are."""
        if self.asr_foolbox is None or self.asr_art is None:
            return None
        return abs(self.asr_foolbox - self.asr_art)


def judge(cell: CellId, pairing: str, foolbox: Records, art: Records) -> CrossCheck:
    """The verdict on ``cell`` through both libraries, from their records of the same samples."""
    identity = cell.model, cell.attack, cell.eps
    attacked = (foolbox.clean_pred == foolbox.label) | (art.clean_pred == art.label)
    if not attacked.any():
        return CrossCheck(*identity, "not comparable", cause="no sample was attacked")
    either = paired(foolbox.success[attacked], art.success[attacked])
    difference = replace(either, p_value=mcnemar(either.only_first, either.only_second))  # a library is blamed by no mid-p
    apart = foolbox.success != art.success
    agreement = 1 - float(apart[attacked].mean())
    equivalent = difference.low >= -MARGIN and difference.high <= MARGIN
    verdict = _exact(agreement) if pairing == "exact" else _statistical(difference, equivalent)
    found = CrossCheck(
        *identity,
        verdict if pairing in ("exact", "statistical") else "not comparable",
        agreement,
        difference.first,
        difference.second,
        difference.p_value,
        difference.low,
        difference.high,
        equivalent,
    )
    if found.verdict != "differ":
        return found
    return replace(
        found,
        stronger=_stronger(difference.only_first, difference.only_second),
        samples=tuple(str(i) for i in foolbox.id[apart][:LISTED]),
        cause=_cause(cell.norm, foolbox, art),
    )


def _exact(agreement: float) -> Verdict:
    """Exact pairs must agree sample by sample."""
    return "agree" if agreement >= AGREEMENT else "differ"


def _statistical(difference: PairedDifference, equivalent: bool) -> Verdict:
    """Equivalence has to be shown, as a difference has to be: by the interval within the margin (Schuirmann 1987)."""
    if equivalent:
        return "agree"
    return "differ" if difference.p_value < ALPHA and abs(difference.difference) > MARGIN else "undecided"


def _stronger(only_foolbox: int, only_art: int) -> str | None:
    if only_foolbox == only_art:
        return None
    return "foolbox" if only_foolbox > only_art else "art"


def _cause(norm: str, foolbox: Records, art: Records) -> str | None:
    """What the records alone point to: other clean predictions, or another use of the budget."""
    if not np.array_equal(foolbox.clean_pred, art.clean_pred):
        return "the clean predictions differ: the model was not the same, or is not deterministic"
    spent = [float(getattr(r, norm)[r.clean_pred == r.label].mean(dtype=np.float64)) for r in (foolbox, art)]
    if min(spent) < (1 - BUDGET_GAP) * max(spent):
        less = "foolbox" if spent[0] < spent[1] else "art"
        return f"{less} spends less of the budget: mean {norm} {min(spent):.4g} against {max(spent):.4g}"
    return None
