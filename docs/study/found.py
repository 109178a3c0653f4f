"""Published runs, scored, and their differences as one kind of row."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.eps import eps_text
from bench.scoring.claims import Claim
from bench.scoring.comparison import ALPHA, Comparison, PairedDifference
from bench.scoring.published import Published, from_file
from bench.scoring.rescored import Rescored, rescore
from bench.scoring.sentences import HIGHER, LOWER
from bench.scoring.statistics import MeanDifference, Table, mean_difference

ROOT = Path(__file__).parent.parent.parent
PUBLISHED = ROOT / "results" / "published"


@dataclass(frozen=True)
class Found:
    """A published run by the name of its suite, and what follows from it."""

    name: str
    published: Published
    scored: Rescored

    @property
    def seeds(self) -> int:
        """How many times each model was trained."""
        return len({m.seed for m in self.published.models})


def load(folder: Path = PUBLISHED) -> dict[str, Found]:
    """Every published run in ``folder``, by the name of its suite."""
    runs = [from_file(file) for file in sorted(folder.glob("*.json"))]
    return {run.suite_name: Found(run.suite_name, run, rescore(run)) for run in runs}


@dataclass(frozen=True)
class Difference:
    """``quantity`` of ``model`` minus ``baseline``'s, its 95 % interval, and what could have been shown."""

    model: str
    baseline: str
    quantity: str
    where: str
    difference: float
    low: float
    high: float
    p_adjusted: float
    detectable: float
    shown: bool
    equal: bool

    @property
    def adjective(self) -> str:
        """What it says of the model, whatever is compared: "less certain"."""
        return (MORE if self.difference > 0 else LESS)[self.quantity]

    @property
    def verdict(self) -> str:
        """What it says of the model: "less robust", or that no difference is shown."""
        if self.shown:
            return (HIGHER if self.difference > 0 else LOWER)[self.quantity]
        return "equal on every sample" if self.equal else f"no difference shown{self.corrected}"

    @property
    def corrected(self) -> str:
        """What a null owes to the correction: its own interval leaves out zero."""
        return " after correction" if self.low > 0 or self.high < 0 else ""

    @property
    def question(self) -> str:
        """What it answers: "Is lora-fc more robust than baseline, worst case 8/255?"."""
        return f"Is {self.model} {MORE[self.quantity]} than {self.baseline}, {self.where}?"

    @property
    def answer(self) -> str:
        """Yes, no with what is so instead, or that no difference is shown."""
        if not self.shown:
            return self.verdict
        return "yes" if self.difference > 0 else f"no: {LESS[self.quantity]}"


MORE = {
    "robust accuracy": "more robust",
    "ASR": "broken more often",
    "accuracy": "more accurate",
    "certainty": "more certain",
}
LESS = {
    "robust accuracy": "less robust",
    "ASR": "broken less often",
    "accuracy": "less accurate",
    "certainty": "less certain",
}


def differences(found: Rescored) -> list[Difference]:
    """Those at the headline eps: over training seeds where there are several, else sample by sample."""
    return [*(() if found.seeds else _of_models(found)), *map(_of_claim, found.claims)]


def _of_models(found: Rescored) -> Iterator[Difference]:
    for c in found.headline:
        yield _paired(c, c.robust, "robust accuracy")
    for c in found.comparisons:
        if c.eps == found.headline_eps and c.second.name == found.baseline:
            yield _paired(c, c.asr, "ASR")


def _paired(c: Comparison, d: PairedDifference, quantity: str) -> Difference:
    where = f"{c.attack} {eps_text(c.eps)}"
    numbers = d.difference, d.low, d.high, d.p_adjusted, d.detectable
    return Difference(c.first.name, c.second.name, quantity, where, *numbers, d.shown, d.equal)


def _of_claim(c: Claim) -> Difference:
    where = "clean" if c.attack is None else f"{c.attack} {eps_text(c.eps)}"
    numbers = c.difference, c.low, c.high, c.p_adjusted, c.detectable
    return Difference(c.model, c.baseline, c.quantity, where, *numbers, c.shown, c.equal)


def of_same_models(first: Table, second: Table, level: float) -> MeanDifference:
    """``first`` - ``second``, both of the same trained models: trainings are paired as samples are."""
    return mean_difference(first - second, np.zeros_like(first), level)


def tested(
    model: str,
    baseline: str,
    quantity: str,
    where: str,
    d: MeanDifference | PairedDifference,
    p_adjusted: float,
) -> Difference:
    """``d``, which was tested among others and corrected to ``p_adjusted``."""
    numbers = d.difference, d.low, d.high, p_adjusted, d.detectable
    return Difference(model, baseline, quantity, where, *numbers, p_adjusted <= ALPHA, equal=False)
