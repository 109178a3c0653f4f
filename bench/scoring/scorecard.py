"""A stored run -> its Scorecard: everything that tables, files and gates show, computed once."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce

import numpy as np

from bench.eps import format_eps
from bench.records import Bools, Records
from bench.scoring.crosscheck import CrossCheck, judge
from bench.scoring.metrics import Metrics, metrics
from bench.scoring.statistics import Proportion, proportion
from bench.store import CellEntry, StoredRun

Model = tuple[str, int]
"""A model's name and training seed."""


@dataclass(frozen=True)
class CellScore:
    """One cell: what was run, what came out. ``metrics`` is None unless ``entry.status`` is "ok"."""

    entry: CellEntry
    metrics: Metrics | None


@dataclass(frozen=True)
class AttackScore:
    """One attack at one eps on one model: a sample counts as broken if either library breaks it."""

    model: str
    seed: int
    attack: str
    eps: str
    asr: Proportion


@dataclass(frozen=True)
class ModelScore:
    """One model. ``worst_case`` is its robust accuracy at the headline eps against the worst attack on each sample."""

    model: str
    seed: int
    method: str
    trainable_parameters: int
    parameters: int
    accuracy: Proportion | None
    certainty: float | None
    certainty_adv: float | None
    worst_case: Proportion | None


@dataclass(frozen=True)
class Scorecard:
    """A scored run. ``models`` are ranked by worst case, best first; ``status`` is "complete" or "incomplete"."""

    suite: str
    run_id: str
    status: str
    headline_eps: str
    models: tuple[ModelScore, ...]
    cells: tuple[CellScore, ...]
    attacks: tuple[AttackScore, ...]
    crosschecks: tuple[CrossCheck, ...]


def score(run: StoredRun) -> Scorecard:
    """Score the stored ``run``."""
    header = run.header
    records = {cell.key: run.records(cell.key) for cell in header.cells if cell.status == "ok"}
    groups = _by_attack(header.cells)
    return Scorecard(
        suite=header.suite_name,
        run_id=header.run_id,
        status="complete" if len(records) == len(header.cells) else "incomplete",
        headline_eps=format_eps(Fraction(header.headline_eps)),
        models=_rank(_model_score(run, (m.model, m.seed), records) for m in header.models),
        cells=tuple(CellScore(c, metrics(records[c.key]) if c.key in records else None) for c in header.cells),
        attacks=tuple(_attack_score(group, records) for group in groups if all(c.key in records for c in group)),
        crosschecks=tuple(_crosscheck(group, records) for group in groups),
    )


def _by_attack(cells: Iterable[CellEntry]) -> list[list[CellEntry]]:
    """The cells that differ only in their library, together."""
    groups: dict[tuple[str, int, str, str], list[CellEntry]] = defaultdict(list)
    for cell in cells:
        groups[cell.model, cell.seed, cell.attack, cell.eps].append(cell)
    return list(groups.values())


def _attack_score(group: list[CellEntry], records: dict[str, Records]) -> AttackScore:
    first = group[0]
    broken = _any(records[cell.key].success for cell in group)
    correct = records[first.key].clean_pred == records[first.key].label
    asr = proportion(int(broken.sum()), int(correct.sum()))
    return AttackScore(first.model, first.seed, first.attack, format_eps(Fraction(first.eps)), asr)


def _crosscheck(group: list[CellEntry], records: dict[str, Records]) -> CrossCheck:
    cell = group[0]
    identity = (cell.model, cell.seed, cell.attack, format_eps(Fraction(cell.eps)))
    by_library = {c.library: c for c in group}
    if len(by_library) == 1:
        return CrossCheck(*identity, "one library")
    pair = [records.get(by_library[library].key) for library in ("foolbox", "art")]
    if pair[0] is None or pair[1] is None:
        return CrossCheck(*identity, "incomplete")
    verdict, agreement, p_value = judge(cell.pairing, pair[0], pair[1])
    asr = [metrics(r).asr.value for r in pair if r is not None]
    return CrossCheck(*identity, verdict, agreement, asr[0], asr[1], p_value)


def _model_score(run: StoredRun, model: Model, records: dict[str, Records]) -> ModelScore:
    entry = next(m for m in run.header.models if (m.model, m.seed) == model)
    cells = [c for c in run.header.cells if (c.model, c.seed) == model]
    headline = [c for c in cells if c.eps == run.header.headline_eps]
    clean = next((metrics(records[c.key]) for c in cells if c.key in records), None)
    attacked = [records[c.key] for c in headline if c.key in records]
    complete = bool(attacked) and len(attacked) == len(headline)
    return ModelScore(
        entry.model,
        entry.seed,
        entry.method,
        entry.trainable_parameters,
        entry.parameters,
        accuracy=clean.accuracy if clean else None,
        certainty=clean.certainty if clean else None,
        certainty_adv=_mean_certainty(attacked) if complete else None,
        worst_case=_worst_case(attacked) if complete else None,
    )


def _worst_case(attacked: list[Records]) -> Proportion:
    """Robust accuracy against the worst attack on each sample, over all attacks and both libraries."""
    held = ~_any(r.adv_pred != r.label for r in attacked)
    return proportion(int(held.sum()), len(held))


def _mean_certainty(attacked: list[Records]) -> float:
    return float(np.mean([np.mean(r.adv_prob, dtype=np.float64) for r in attacked]))


def _any(flags: Iterable[Bools]) -> Bools:
    return reduce(np.logical_or, flags)


def _rank(models: Iterable[ModelScore]) -> tuple[ModelScore, ...]:
    return tuple(sorted(models, key=lambda m: -m.worst_case.value if m.worst_case else 1.0))
