"""A stored run and the same made again, cell by cell: bitwise equal, equal within noise, or different."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from adapters.files.names import CODE
from bench.eps import eps_text
from bench.errors import Exit
from bench.scoring.statistics import holm, mcnemar
from bench.store import CellEntry, ModelEntry, RunHeader, StoredRun
from bench.store.records import COLUMNS, Records

ALPHA = 0.05
COMPARED = ("bench_version", "commit", "dirty", "python", "platform", "device", "device_name", "threads")
Verdict = Literal["bitwise equal", "equal within noise", "different", "not comparable"]


@dataclass(frozen=True)
class CellOutcome:
    """One cell then and now.

    ``gained`` and ``lost`` count the samples that only the new or only the old attack broke; ``p_value`` is
    that of the exact McNemar test on them, corrected over all cells (Holm). ``drift`` is the largest change
    of a probability or distance.
    """

    cell: str
    verdict: Verdict
    gained: int = 0
    lost: int = 0
    p_value: float = 1.0
    drift: float = 0.0
    reason: str | None = None


@dataclass(frozen=True)
class Reproduction:
    """What came out.

    ``changes`` names what differs in the surroundings: packages, device, weights, data, code.
    """

    run: Path
    outcomes: tuple[CellOutcome, ...]
    changes: tuple[str, ...]

    @property
    def counts(self) -> Counter[Verdict]:
        """How many cells came out how."""
        return Counter(outcome.verdict for outcome in self.outcomes)

    @property
    def exit_code(self) -> Exit:
        """Different cells fail; cells that cannot be compared are incomplete."""
        verdicts = {outcome.verdict for outcome in self.outcomes}
        if not self.outcomes or "not comparable" in verdicts:
            return Exit.INCOMPLETE
        return Exit.GATE_FAILED if "different" in verdicts else Exit.OK


def compare(old: StoredRun, new: StoredRun) -> Reproduction:
    """``old`` and ``new`` cell by cell.

    Cells are matched by what they are, not by their keys: weights may differ.
    """
    found = {_identity(cell): cell for cell in new.header.cells}
    outcomes = [_outcome(old, cell, new, found.get(_identity(cell))) for cell in old.header.cells]
    adjusted = holm([outcome.p_value for outcome in outcomes])
    judged = tuple(_judge(replace(outcome, p_value=p)) for outcome, p in zip(outcomes, adjusted, strict=True))
    return Reproduction(old.path, judged, tuple(_changes(old.header, new.header)))


def _identity(cell: CellEntry) -> str:
    return f"{cell.id.unit} at {eps_text(cell.eps)}"


def _outcome(old: StoredRun, then: CellEntry, new: StoredRun, now: CellEntry | None) -> CellOutcome:
    name = _identity(then)
    for entry in (then, now):
        if entry is None or entry.status != "ok":
            reason = "the new run has no such cell" if entry is None else entry.error or "it was not finished"
            return CellOutcome(name, "not comparable", reason=reason)
    before, after = old.records(then.key), new.records(now.key if now else "")
    if not np.array_equal(before.id, after.id):
        return CellOutcome(name, "not comparable", reason="the samples differ")
    if all(np.array_equal(getattr(before, column), getattr(after, column)) for column in COLUMNS):
        return CellOutcome(name, "bitwise equal")
    gained, lost = int((after.success & ~before.success).sum()), int((before.success & ~after.success).sum())
    return CellOutcome(name, "different", gained, lost, mcnemar(gained, lost), _drift(before, after))


def _drift(before: Records, after: Records) -> float:
    pairs = [(getattr(before, name), getattr(after, name)) for name in COLUMNS]
    return max(float(np.abs(a - b).max(initial=0)) for a, b in pairs if a.dtype == np.float32)


def _judge(outcome: CellOutcome) -> CellOutcome:
    noise = outcome.verdict == "different" and outcome.p_value >= ALPHA
    return replace(outcome, verdict="equal within noise") if noise else outcome


def _changes(old: RunHeader, new: RunHeader) -> list[str]:
    changes = [
        f"{name}: {then} then, {now} now"
        for name, (then, now) in {**_surroundings(old, new), "data": (old.data_hash, new.data_hash)}.items()
        if then != now
    ]
    now = {m.id: m for m in new.models}
    pairs = [(m, now.get(m.id)) for m in old.models]
    drifted = [m for m, other in pairs if other is None or m.same_as(other) is False]
    changed = ((m, _changed_code(m, other)) for m, other in pairs)
    changes += [f"code of {m.model} (seed {m.seed}) differs: {names}" for m, names in changed if names]
    return changes + [f"weights of {m.model} (seed {m.seed}) differ" for m in drifted]


def _changed_code(then: ModelEntry, now: ModelEntry | None) -> str:
    """The modules of the user's own code behind a model that are not what they were."""
    codes = [
        {k.removeprefix(CODE): v for k, v in m.files.items() if k.startswith(CODE)} for m in (then, now) if m
    ]
    return ", ".join(sorted({name for name, _ in set(codes[0].items()) ^ set(codes[-1].items())}))


def _surroundings(old: RunHeader, new: RunHeader) -> dict[str, tuple[object, object]]:
    then, now = ({**h.provenance, **h.provenance.get("packages", {})} for h in (old, new))
    return {
        name: (then.get(name), now.get(name)) for name in (*COMPARED, *new.provenance.get("packages", {}))
    }
