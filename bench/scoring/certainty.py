"""How certain each model is of each sample, kept while a run is scored.

Certainty over training seeds is made of it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from bench.ids import AttackEps, ModelId
from bench.scoring.statistics import AcrossSeeds, across_seeds
from bench.store.records import Floats, Records

Row = npt.NDArray[np.float64]


class Certainties:
    """The probability of the predicted class of each sample (N), by model: clean, and under attack.

    Under attack it is the mean over libraries. Only of models of several training seeds: of a single one the
    cell's own numbers say it.
    """

    def __init__(self, models: Iterable[ModelId]) -> None:
        names = [model.name for model in models]
        self._several = {name for name in names if names.count(name) > 1}
        self._rows: dict[ModelId, dict[AttackEps | None, Row]] = defaultdict(dict)

    def add(self, model: ModelId, at: AttackEps, records: Mapping[str, Records]) -> None:
        """What the libraries' ``records`` of one attack at one eps say."""
        if model.name in self._several and records:
            self.put(model, None, _mean([next(iter(records.values())).clean_prob]))
            self.put(model, at, _mean([r.adv_prob for r in records.values()]))

    def put(self, model: ModelId, at: AttackEps | None, row: Row) -> None:
        """What is known of ``model`` at one attack and eps, or clean; what was known first stays."""
        self._rows[model].setdefault(at, row)

    def across(self, models: Iterable[ModelId], at: AttackEps | None) -> AcrossSeeds:
        """Over ``models``, the seeds of one, at one attack and eps, or clean.

        The interval has training variation in it.
        """
        return across_seeds(np.stack([self._rows[model][at] for model in models]))


def _mean(rows: list[Floats]) -> Row:
    return np.asarray(np.mean(rows, axis=0, dtype=np.float64), dtype=np.float64)
