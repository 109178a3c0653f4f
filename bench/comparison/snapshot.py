"""A run reduced to what comparisons need: per cell and sample, was it predicted correctly, was it broken."""

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from bench.eps import eps_to_json
from bench.errors import NotComparableError
from bench.scoring.model_ranking import ModelRanking, rank_models
from bench.scoring.trust import Grade
from bench.store import PRIVATE, CellEntry, RunHeader, StoredRun, parse_header
from bench.store.records import Bools, CellOutcomes, Floats, Ints
from bench.store.shapes import Count, Several, Words
from bench.store.strangers import parse, read_bytes, typed

MAKES_ONE = "`bench reference update RUN` makes one"
Row = npt.NDArray[np.float64]
IDENTITY = ("model", "seed", "attack", "eps", "norm", "library", "pairing", "key", "origin")


@dataclass(frozen=True)
class Outcomes:
    """One cell, each N over the snapshot's samples.

    Each flag says whether the sample was in it, predicted correctly unattacked, or broken. Of a random model
    these are what it does most of the time; ``before`` and ``after`` the attack (float32) is how often
    it is right. References of before these were kept have only the flags.
    """

    seen: Bools
    correct: Bools
    broken: Bools
    before: Floats | None = None
    after: Floats | None = None

    @property
    def right(self) -> tuple[Row, Row]:
        """How often each sample is predicted correctly, before the attack and after it.

        It is 0 or 1, unless the model is random.
        """
        flags = self.correct, self.correct & ~self.broken
        chances = (self.before, self.after) if self.before is not None and self.after is not None else flags
        return chances[0].astype(np.float64), chances[1].astype(np.float64)

    def take(self, index: Ints) -> "Outcomes":
        """Those of the samples at ``index``."""
        before, after = (None if column is None else column[index] for column in (self.before, self.after))
        return Outcomes(self.seen[index], self.correct[index], self.broken[index], before, after)


@dataclass(frozen=True)
class Snapshot:
    """``ids`` and ``labels`` are the samples, N.

    ``outcomes`` are by cell key, for the cells whose status is "ok". So are the ``grades`` of their trust;
    older references have none.
    """

    title: str
    header: RunHeader
    ids: tuple[str, ...]
    labels: Ints
    outcomes: dict[str, Outcomes]
    grades: dict[str, Grade] = field(default_factory=dict)


def snapshot_of(run: StoredRun, model_ranking: ModelRanking | None = None) -> Snapshot:
    """The snapshot of a stored ``run``, whose ``model_ranking`` is computed unless it is given."""
    model_ranking = model_ranking or rank_models(run)
    samples = _Samples()
    cells = {cell.key: run.outcomes(cell.key) for cell in run.header.cells if cell.status == "ok"}
    outcomes = {key: (samples.index(found), found) for key, found in cells.items()}
    return Snapshot(
        run.header.run_id,
        run.header,
        tuple(samples.labels),
        np.array(list(samples.labels.values()), dtype=np.int64),
        {key: _spread(len(samples.labels), *found) for key, found in outcomes.items()},
        {key: trust.grade for key, trust in model_ranking.grades.items()},
    )


class _Samples:
    """The samples met so far, each with its label, in the order of their first appearance."""

    def __init__(self) -> None:
        self.labels: dict[str, int] = {}
        self._last: tuple[npt.NDArray[np.str_], Ints] | None = None

    def index(self, found: CellOutcomes) -> Ints:
        """Where the samples of ``found`` stand. Most cells share those of the cell before."""
        if self._last is None or self._last[0] is not found.id:
            ids = found.id.tolist()
            for name, label in zip(ids, found.label.tolist(), strict=True):
                self.labels.setdefault(name, label)
            position = positions(tuple(self.labels))
            self._last = found.id, np.array([position[name] for name in ids], dtype=np.int64)
        return self._last[1]


def _spread(count: int, index: Ints, found: CellOutcomes) -> Outcomes:
    """What ``found`` has of the samples at ``index`` as columns of all ``count`` samples."""
    seen, correct, broken = (np.zeros(count, dtype=np.bool_) for _ in range(3))
    seen[index], correct[index], broken[index] = True, found.correct, found.broken
    if found.chances is None:
        return Outcomes(seen, correct, broken)
    before, after = (np.zeros(count, dtype=np.float32) for _ in range(2))
    before[index], after[index] = found.chances.before, found.chances.after
    return Outcomes(seen, correct, broken, before, after)


def to_text(snapshot: Snapshot) -> str:
    """``snapshot`` as the text of a reference file: run.json's fields, samples, 3 bits a cell and sample.

    Of a random model's cells, there are the two float32 of each sample too.
    """
    data = asdict(replace(snapshot.header, cells=()))
    data["provenance"] = {k: v for k, v in data["provenance"].items() if k not in PRIVATE}
    data["cells"] = [_pack_cell(cell, snapshot) for cell in snapshot.header.cells]
    data["sample_ids"] = list(snapshot.ids)
    data["sample_labels"] = snapshot.labels.tolist()
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {_block(value)}" for key, value in data.items()) + "\n}\n"


def _pack_cell(cell: CellEntry, snapshot: Snapshot) -> dict[str, Any]:
    trust = {"trust": snapshot.grades[cell.key]} if cell.key in snapshot.grades else {}
    found = snapshot.outcomes[cell.key]
    bits = {"seen": _pack(found.seen), "correct": _pack(found.correct), "broken": _pack(found.broken)}
    if found.before is not None and found.after is not None:
        bits |= {"before": _pack_chances(found.before), "after": _pack_chances(found.after)}
    return {k: getattr(cell, k) for k in IDENTITY} | trust | bits


def _block(value: Any) -> str:
    """``value`` with one line per cell or model, so that a change is seen in version control."""
    if isinstance(value, list | tuple) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(json.dumps(item, default=eps_to_json) for item in value) + "\n]"
    return json.dumps(value, default=eps_to_json)


def from_file(file: Path) -> Snapshot:
    """The snapshot in the reference file ``file``. Raises NotComparableError if it cannot be used."""
    try:
        return from_text(read_bytes(file), str(file))
    except ValueError as error:
        raise NotComparableError(f"{file}: is not a reference ({error}); {MAKES_ONE}") from None
    except OSError as error:
        raise NotComparableError(f"{file}: cannot be read: {error.strerror}") from None


@dataclass(frozen=True)
class _Packed:
    """What a cell of a reference has beside the fields of a cell in run.json."""

    seen: Words
    correct: Words
    broken: Words
    before: Words | None = None
    after: Words | None = None
    trust: Grade | None = None


@dataclass(frozen=True)
class _Reference:
    """What a reference has beside the fields of run.json."""

    sample_ids: Several[Words]
    sample_labels: Several[Count]
    cells: Several[_Packed]


_REFERENCE = TypeAdapter(_Reference)


def from_text(text: str | bytes, title: str) -> Snapshot:
    """What ``to_text`` wrote.

    Raises NotComparableError, naming ``title``, if it is broken or of a newer version.
    """
    try:
        data = parse(text)
        found = typed(_REFERENCE, data)
        ids, labels = found.sample_ids, found.sample_labels
        if len(set(ids)) < len(ids) or len(labels) != len(ids):
            raise ValueError(f"{len(set(ids))} different samples of {len(ids)} have {len(labels)} labels")
        bits = [_outcomes(cell, len(ids)) for cell in found.cells]
        header = parse_header(_as_header(data), title)
    except ValueError as error:
        raise NotComparableError(f"{title}: is not a reference ({error}); {MAKES_ONE}") from None
    keys = [cell.key for cell in header.cells]
    known = {key: cell.trust for key, cell in zip(keys, found.cells, strict=True) if cell.trust is not None}
    return Snapshot(
        title, header, ids, np.array(labels, dtype=np.int64), dict(zip(keys, bits, strict=True)), known
    )


def _as_header(data: dict[str, Any]) -> dict[str, Any]:
    """The fields of a run.json in those of a reference, all of whose cells have numbers."""
    packed, samples = {f.name for f in fields(_Packed)}, {"sample_ids", "sample_labels"}
    cells = [{**{k: v for k, v in cell.items() if k not in packed}, "status": "ok"} for cell in data["cells"]]
    return {**{k: v for k, v in data.items() if k not in samples}, "cells": cells}


def _outcomes(cell: _Packed, count: int) -> Outcomes:
    """What ``cell`` has of each of ``count`` samples.

    Raises ValueError where there are not as many, or they contradict.
    """
    seen, correct, broken = (_unpack(text, count) for text in (cell.seen, cell.correct, cell.broken))
    before, after = (
        None if text is None else _unpack_chances(text, count) for text in (cell.before, cell.after)
    )
    found = Outcomes(seen, correct, broken, before, after)
    if (found.broken & ~found.correct).any() or (found.correct & ~found.seen).any():
        raise ValueError("a sample is broken that was not predicted correctly, or was not seen at all")
    return found


def _pack(bits: Bools) -> str:
    return base64.b64encode(np.packbits(bits).tobytes()).decode()


def _pack_chances(column: Floats) -> str:
    return base64.b64encode(column.astype("<f4").tobytes()).decode()


def _unpack(text: str, count: int) -> Bools:
    packed = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)
    if len(packed) != (count + 7) // 8:
        raise ValueError(f"a cell has the outcomes of {8 * len(packed)} samples, not of {count}")
    return np.unpackbits(packed, count=count).astype(bool)


def _unpack_chances(text: str, count: int) -> Floats:
    found = np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4")
    if len(found) != count or not ((found >= 0) & (found <= 1)).all():
        raise ValueError(
            f"a cell of a random model has {len(found)} chances; {count} are due, each from 0 to 1"
        )
    return found.astype(np.float32)


def positions(ids: Sequence[str]) -> dict[str, int]:
    """Where each of ``ids`` stands."""
    return {name: i for i, name in enumerate(ids)}
