"""Whether two versions of the code attack equally well: the outcomes of two stored runs of a suite on the
same weights, sample by sample.

``python -m tests.benchmarks.outcomes BEFORE AFTER``, each a run's folder, prints a row per attack and
library, over all models: how many of the samples that are predicted correctly break at the headline eps in
both runs, or in one of them; and, where an attack looks for the nearest adversarial, in which run it is
nearer. Each p-value is McNemar's mid-p.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.ids import CellId
from bench.scoring.statistics import mid_p
from bench.store import CellEntry, StoredRun
from bench.store.records import Records

Pair = tuple[Records, Records]
COLUMNS = ("pairs", "both", "only before", "only after", "p", "nearer before", "nearer after", "p")


def paired(before: StoredRun, after: StoredRun) -> dict[tuple[str, str], list[Pair]]:
    """What both runs found on each model at the headline eps, by attack and library; at the largest of an
    attack that has eps of its own.

    Raises ValueError where weights or samples differ: then more than the attacks would be compared.
    """
    old, new = _judged(before), _judged(after)
    found: dict[tuple[str, str], list[Pair]] = defaultdict(list)
    then = {model.id: model for model in before.header.models}
    for model in after.header.models:
        if not model.same_as(then[model.id]):
            raise ValueError(f"{model.id} has other weights in {before.path} than in {after.path}")
    for identity in [one for one in new if one in old]:
        cell = new[identity]
        pair = before.records(old[identity].key), after.records(cell.key)
        if pair[0].id.tolist() != pair[1].id.tolist():
            raise ValueError(f"{identity} was run on other samples in {before.path} than in {after.path}")
        found[cell.attack, cell.library].append(pair)
    return found


def _judged(run: StoredRun) -> dict[CellId, CellEntry]:
    by_attack: dict[tuple[object, ...], list[CellEntry]] = defaultdict(list)
    for cell in (c for c in run.header.cells if c.status == "ok"):
        by_attack[cell.id.model, cell.attack, cell.library].append(cell)
    chosen = (
        next((c for c in cells if c.eps == run.header.headline_eps), max(cells, key=lambda c: c.eps))
        for cells in by_attack.values()
    )
    return {cell.id: cell for cell in chosen}


def row(pairs: Sequence[Pair]) -> list[str]:
    """The counts of one attack: of breaking, then of distances, with what a paired test says of each."""
    attacked = np.concatenate([(a.before > 0) & (b.before > 0) for a, b in pairs])
    broken = np.concatenate([[a.success, b.success] for a, b in pairs], axis=1)[:, attacked]
    both, before, after = (
        int(x.sum()) for x in (broken.all(0), broken[0] & ~broken[1], ~broken[0] & broken[1])
    )
    cells = [str(broken.shape[1]), str(both), str(before), str(after), f"{mid_p(before, after):.2f}"]
    if any(record.distance is None for pair in pairs for record in pair):
        return [*cells, "", "", ""]
    distance = np.concatenate([[a.distance, b.distance] for a, b in pairs], axis=1)[:, attacked]
    first, second = int((distance[0] < distance[1]).sum()), int((distance[1] < distance[0]).sum())
    return [*cells, str(first), str(second), f"{mid_p(first, second):.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    asked = parser.parse_args()
    table = Table("attack", *COLUMNS)
    for (attack, library), pairs in paired(StoredRun(asked.before), StoredRun(asked.after)).items():
        table.add_row(f"{attack}, {library}", *row(pairs))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
