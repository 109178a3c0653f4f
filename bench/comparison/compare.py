"""Two runs, cell by cell on the samples that they share -> Verdict."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache, reduce

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from bench.comparison.cause import KINDS, Cause, Made, Subject, code, drifts, gates
from bench.comparison.snapshot import Outcomes, Snapshot, positions
from bench.comparison.verdict import Flip, Metric, Problem, Row, Verdict
from bench.errors import UserError
from bench.ids import AccuracyId, CellId, ModelId, RowId
from bench.scoring.sign_flip import sign_flip
from bench.scoring.statistics import holm, mcnemar
from bench.scoring.trust import Grade
from bench.store import CellEntry, Origin, RunHeader, software
from bench.store.records import Bools, Ints
from bench.suite.gate import Gate, Limits

Values = npt.NDArray[np.float64]
Origins = tuple[tuple[str, str], ...]
"""The names of the origins of the cells that a row rests on, in the first run and in the second."""
NOTHING_CORRECT = "no sample was predicted correctly in both runs"


def compare(before: Snapshot, after: Snapshot, *, gated: bool = False) -> Verdict:
    """Compare ``after`` with ``before``, which brings the gate that judges.

    A change cannot loosen the gate that it passes. Where ``after`` declares another gate, that is said as a
    drift, and counts once ``after`` is the reference. Raises UserError if a gate cannot be read or one of its
    overrides matches no cell.
    """
    gate, declared = _gate_of(before), _gate_of(after)
    old, new = _by_identity(before), _by_identity(after)
    _check_overrides(gate, [*old, *_accuracies(before)])
    _check_overrides(declared, [*new, *_accuracies(after)])
    pairs = {identity: (old[identity], cell) for identity, cell in new.items() if identity in old}
    missing = [Problem(i, "not in the second run") for i in old if i not in new]
    missing += [Problem(i, "has not been run") for i, cell in new.items() if cell.status == "missing"]
    errors = [
        Problem(i, cell.error or "no reason given") for i, cell in new.items() if cell.status == "error"
    ]
    usable = {i: cells for i, cells in pairs.items() if cells[1].status == "ok"}
    pair = _Pair(before, after, gated=gated)
    rows, incomparable = _rows(pair, usable, gate)
    compared = {row.cell: usable[row.cell] for row in rows if isinstance(row.cell, CellId)}
    blind = [
        Problem(r.cell, f"only {r.n} shared samples, where a change shows from {r.needed} on")
        for r in rows
        if r.blind
    ]
    return Verdict(
        suite=after.header.suite_name,
        before=before.title,
        after=after.title,
        gated=gated,
        gate=gate,
        rows=tuple(rows),
        missing=tuple(missing),
        errors=tuple(errors),
        not_comparable=(*incomparable, *((*blind, *pair.distrusted(compared)) if gated else ())),
        new=tuple(i for i in new if i not in old),
        drifts=(*gates(gate, declared), *_all_drifts(pair, pairs)),
        started=str(after.header.provenance.get("started", ""))[:19],
    )


class _Pair:
    """Two snapshots and the samples that they share.

    ``old`` and ``new`` are the positions of ``ids`` in each. ``reason`` is why the samples cannot be paired,
    or None. ``drifts`` finds what differs for a subject, once.
    """

    def __init__(self, before: Snapshot, after: Snapshot, *, gated: bool) -> None:
        self.before, self.after, self.gated = before, after, gated
        old, new = positions(before.ids), positions(after.ids)
        self.ids = [name for name in after.ids if name in old]
        self.old: Ints = np.array([old[name] for name in self.ids], dtype=np.int64)
        self.new: Ints = np.array([new[name] for name in self.ids], dtype=np.int64)
        self.reason = self._reason()
        self.drifts = cache(self._drifts)

    def _drifts(self, subject: Subject, origins: Origins) -> tuple[Cause, ...]:
        found = (
            drifts(Made(self.before.header, a), Made(self.after.header, b), subject)
            for a, b in self.known(origins)
        )
        return tuple(dict.fromkeys(cause for causes in found for cause in causes))

    def known(self, origins: Origins) -> Iterator[tuple[Origin | None, Origin | None]]:
        """What is known of ``origins``."""
        return ((self.before.header.origin(a), self.after.header.origin(b)) for a, b in origins)

    def _reason(self) -> str | None:
        if not self.ids:
            return "the runs share no sample"
        relabelled = int(np.sum(self.before.labels[self.old] != self.after.labels[self.new]))
        if relabelled:
            return f"{relabelled} of {len(self.ids)} shared samples have another label"
        if not self._is_partial and self.before.header.data_hash != self.after.header.data_hash:
            return "the samples have the same ids and labels but different content"
        return None

    @property
    def _is_partial(self) -> bool:
        return set(self.before.ids) != set(self.after.ids)

    def objection(self, old: CellEntry, new: CellEntry) -> str | None:
        """Why ``old`` and ``new`` cannot be compared.

        A gate asks for all samples of the reference, and for no others.
        """
        if old.status != "ok":
            return f"the first run has no numbers here: {old.error or old.status}"
        if self.reason is not None or not self.gated:
            return self.reason
        return self._lacking(old, new) or _stale(new, self.after.header)

    def distrusted(self, cells: Mapping[CellId, tuple[CellEntry, CellEntry]]) -> Iterator[Problem]:
        """Those of ``cells`` that fail their trust checks, and not in the reference.

        A number that proves nothing cannot pass. It is not a failure of the gate either, unless it moved: of
        the cell, nothing is known.
        """
        for identity, (old, new) in cells.items():
            if self.after.grades.get(new.key) == "fail" and self.before.grades.get(old.key) != "fail":
                yield Problem(
                    identity,
                    "fails its trust checks, as it did not in the reference; `bench report` says which",
                )

    def _lacking(self, old: CellEntry, new: CellEntry) -> str | None:
        then, now = self.before.outcomes[old.key].seen, self.after.outcomes[new.key].seen
        shared, of = int(np.sum(then[self.old] & now[self.new])), int(then.sum())
        if shared < of:
            return f"{of - shared} of {of} samples of the reference are missing"
        more = int(now.sum()) - shared
        return (
            f"{more} samples are not in the reference: the content of the others could not be checked"
            if more
            else None
        )

    def unchecked(self) -> Iterator[Cause]:
        """What to say where the samples' hashes, each over all of a run, say nothing of the shared ones."""
        if self._is_partial:
            sizes = f"{len(self.ids)} samples are shared, of {len(self.before.ids)} and {len(self.after.ids)}"
            yield Cause("data", f"{sizes}: whether their content is the same could not be checked")


def _stale(cell: CellEntry, run: RunHeader) -> str | None:
    """Why ``cell`` proves nothing about the code and packages of ``run``: others have computed it."""
    origin = run.origin(cell.origin)
    if origin is None or origin.get("code") is None:
        return "which code computed it is not recorded: run with --fresh"
    if software(origin) == software(run.provenance):
        return None
    what = "packages" if origin["code"] == run.provenance.get("code") else "code"
    return (
        f"was computed by {what} other than the run's (commit {str(origin.get('commit'))[:12]}): run with"
        " --fresh"
    )


@dataclass(frozen=True)
class _Count:
    """A row before its family is known: how often it happened before and after.

    It is counted on the samples ``chosen`` of those shared.
    """

    cell: RowId
    metric: Metric
    chosen: Ints
    old: Values
    new: Values
    expected: bool
    origins: Origins
    drifts: tuple[Cause, ...]
    limits: Limits
    trust: Grade | None = None


def _rows(
    pair: _Pair, cells: dict[CellId, tuple[CellEntry, CellEntry]], gate: Gate
) -> tuple[list[Row], list[Problem]]:
    """Rows of the comparable cells and of their models' clean accuracy; the others with the reason."""
    counts: list[_Count] = []
    problems: list[Problem] = []
    comparable: dict[CellId, tuple[CellEntry, CellEntry]] = {}
    for identity, both in cells.items():
        reason = pair.objection(*both)
        if reason is not None:
            problems.append(Problem(identity, reason))
            continue
        comparable[identity] = both
        counts.append(replace(_count(pair, identity, both, gate), trust=pair.after.grades.get(both[1].key)))
    counts += [
        _count_accuracy(pair, model, comparable, gate)
        for model in dict.fromkeys(cell.model for cell in comparable)
    ]
    problems += [Problem(c.cell, NOTHING_CORRECT) for c in counts if not len(c.chosen)]
    return list(_tested([c for c in counts if len(c.chosen)], pair)), problems


def _count(pair: _Pair, identity: CellId, both: tuple[CellEntry, CellEntry], gate: Gate) -> _Count:
    old, new = _shared(pair, *both)
    chosen = old.seen & new.seen
    events = old.right[1], new.right[1]
    if gate.metric == "asr":
        chosen &= old.correct & new.correct
        events = 1 - events[0], 1 - events[1]
    return _make_count(
        pair, identity, gate.metric, (_origins(both),), chosen, events, gate, expected=_expected(old, new)
    )


def _count_accuracy(
    pair: _Pair, model: ModelId, cells: dict[CellId, tuple[CellEntry, CellEntry]], gate: Gate
) -> _Count:
    """The model's clean accuracy over the samples of all its cells."""
    own = [both for cell, both in cells.items() if cell.model == model]
    found = [_shared(pair, *both) for both in own]
    seen = reduce(np.logical_or, (old.seen & new.seen for old, new in found))
    events = (
        reduce(np.maximum, (old.right[0] for old, _ in found)),
        reduce(np.maximum, (new.right[0] for _, new in found)),
    )
    origins, expected = tuple(dict.fromkeys(map(_origins, own))), any(_expected(*both) for both in found)
    return _make_count(pair, AccuracyId(model), "accuracy", origins, seen, events, gate, expected=expected)


def _expected(old: Outcomes, new: Outcomes) -> bool:
    """Whether one of the two is of a random model."""
    return old.after is not None or new.after is not None


def _origins(both: tuple[CellEntry, CellEntry]) -> tuple[str, str]:
    return both[0].origin, both[1].origin


def _make_count(
    pair: _Pair,
    identity: RowId,
    metric: Metric,
    origins: Origins,
    chosen: Bools,
    events: tuple[Values, Values],
    gate: Gate,
    *,
    expected: bool,
) -> _Count:
    causes = pair.drifts(_subject(identity), origins)
    limits = gate.limits(str(identity), retrained=any(cause.kind == "model" for cause in causes))
    old, new = events[0][chosen], events[1][chosen]
    return _Count(identity, metric, np.flatnonzero(chosen), old, new, expected, origins, causes, limits)


def _tested(counts: list[_Count], pair: _Pair) -> Iterator[Row]:
    """Rows with their p-values, corrected over those in which noise can be an explanation."""
    flips = [(c.new > c.old, c.new < c.old) for c in counts]
    p_values = [
        sign_flip(c.new - c.old, mid=False) if c.expected else mcnemar(int(gained.sum()), int(lost.sum()))
        for c, (gained, lost) in zip(counts, flips, strict=True)
    ]
    family = [i for i, c in enumerate(counts) if c.drifts]
    adjusted = dict(zip(family, holm([p_values[i] for i in family]), strict=True))
    for i, (c, (gained, lost)) in enumerate(zip(counts, flips, strict=True)):
        moved = bool(gained.any() or lost.any())
        exact = not c.drifts
        yield Row(
            cell=c.cell,
            metric=c.metric,
            n=len(c.chosen),
            before=float(c.old.mean()),
            after=float(c.new.mean()),
            gained=int(gained.sum()),
            lost=int(lost.sum()),
            p_value=p_values[i],
            p_adjusted=adjusted.get(i),
            exact=exact,
            needed=1 if exact else flips_needed(c.limits.alpha, len(family)),
            limits=c.limits,
            expected=c.expected,
            copied=all(a == b != "" for a, b in c.origins),
            trust=c.trust,
            causes=(c.drifts or _code(c, pair)) if moved else (),
            flips=(
                tuple(Flip(pair.ids[c.chosen[j]], bool(gained[j])) for j in np.flatnonzero(gained | lost))
                if exact
                else ()
            ),
        )


def _code(count: _Count, pair: _Pair) -> tuple[Cause, ...]:
    return tuple(dict.fromkeys(code(a or {}, b or {}) for a, b in pair.known(count.origins)))


def flips_needed(alpha: float, family: int) -> int:
    """The fewest flips, all one way, that the exact test shows at ``alpha``.

    Their p-value is the smallest of ``family`` rows. k flips one way have p = 2 ** (1 - k), which Holm
    multiplies by ``family``.
    """
    return math.floor(math.log2(2 * family / alpha)) + 1


def _shared(pair: _Pair, old: CellEntry, new: CellEntry) -> tuple[Outcomes, Outcomes]:
    return pair.before.outcomes[old.key].take(pair.old), pair.after.outcomes[new.key].take(pair.new)


def _by_identity(snapshot: Snapshot) -> dict[CellId, CellEntry]:
    return {cell.id: cell for cell in snapshot.header.cells}


def _accuracies(snapshot: Snapshot) -> list[AccuracyId]:
    return [AccuracyId(model.id) for model in snapshot.header.models]


def _subject(row: RowId) -> Subject:
    attack, library = (row.attack, row.library) if isinstance(row, CellId) else (None, None)
    return Subject(row.model, attack, library)


def _all_drifts(pair: _Pair, cells: Mapping[CellId, tuple[CellEntry, CellEntry]]) -> tuple[Cause, ...]:
    """Everything that differs and bears on any of ``cells``, even where no number moved."""
    asked = dict.fromkeys((_subject(cell), (_origins(both),)) for cell, both in cells.items())
    found = [cause for subject, origins in asked for cause in pair.drifts(subject, origins)]
    return tuple(
        sorted(dict.fromkeys((*found, *pair.unchecked())), key=lambda cause: KINDS.index(cause.kind))
    )


def _gate_of(snapshot: Snapshot) -> Gate:
    try:
        return Gate.model_validate(snapshot.header.suite.get("gate", {}))
    except ValidationError as error:
        raise UserError(
            f"{snapshot.title}: its gate cannot be read ({error.errors()[0]['msg']}); run the suite again"
        ) from None


def _check_overrides(gate: Gate, cells: list[RowId]) -> None:
    for override in gate.overrides:
        if not any(fnmatchcase(str(cell), override.cells) for cell in cells):
            raise UserError(
                f"gate: the override '{override.cells}' matches no cell; cells are named"
                f" model/seed/attack/library/eps, like '{cells[0]}'"
            )
