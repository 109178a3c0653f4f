"""What is published of a run: of each model under each attack, what became of every sample.

It is in a file small enough to commit. All libraries count as one attacker. A share of 0 or 1 takes a bit,
any other, and every certainty, 16 of them: a 65,535th is as near as it is known. No images, no weights,
nothing of the machine. ``rescore`` makes of it what ``score`` makes of the run.
"""

import base64
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, TypeAdapter

from bench.eps import eps_to_json
from bench.errors import NotComparableError
from bench.ids import ModelId
from bench.scoring.comparison import WORST_CASE, Outcome
from bench.scoring.defended import UNKNOWING
from bench.scoring.model_ranking import ModelRanking, outcome_of, rank_models
from bench.scoring.record_checks import Scored
from bench.scoring.score import by_attack, score
from bench.scoring.scorecard import Scorecard
from bench.scoring.soundness import is_sound
from bench.scoring.trust import Grade, worst
from bench.store import CellEntry, DataEntry, ModelEntry, StoredRun
from bench.store.records import Bools, Chances
from bench.store.shapes import (
    Count,
    Declared,
    FileName,
    Flag,
    Number,
    Positive,
    Several,
    StoredEps,
    Text,
    Words,
)
from bench.store.strangers import parse, read_bytes, typed

PUBLISHED_VERSION = 1
LEVELS = 65_535
"""Steps of a share, or of a certainty, between 0 and 1."""
NAIVE_CASE = "worst naive case"
"""Stands for an attack's name: the worst, on each sample, of attacks not knowing the model's defences."""
SOFTWARE = ("bench_version", "code", "python", "packages")
"""What is told of where a cell is from."""

Row = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PublishedModel:
    """A model before the attack.

    ``correct``, and ``right`` of a random model, and ``certainty`` are of each sample, packed.

    ``of`` names the models whose weights it has, with the defences ``method`` around them.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    model: Text
    seed: Count
    method: Text
    trainable_parameters: Count
    parameters: Count
    sha256: Text
    of: Several[Text]
    passes: Count
    trust: Grade
    correct: Words
    certainty: Words
    right: Words | None = None

    @property
    def id(self) -> ModelId:
        """Its name and training seed."""
        return ModelId(self.model, self.seed)


@dataclass(frozen=True)
class PublishedCell:
    """A model under ``attack`` at one eps.

    ``wrong``, and ``right`` of a random model, and ``certainty`` are packed.

    ``sound``: whether what it leaves unbroken can be believed to be robust. The worst case has no certainty.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    model: Text
    seed: Count
    attack: Text
    eps: StoredEps
    norm: Text
    role: Text
    trust: Grade
    sound: Flag
    wrong: Words
    certainty: Words | None = None
    right: Words | None = None

    @property
    def id(self) -> ModelId:
        """The model's name and training seed."""
        return ModelId(self.model, self.seed)


@dataclass(frozen=True)
class Published:
    """A run as it is published: its ``suite`` as declared, its models and cells over the same ``samples``.

    ``origins`` are the programs and packages by which it was computed, ``seconds`` what the attacks took, and
    ``crosschecks`` the number of cells by what the libraries say of each other.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    schema_version: Positive
    suite_name: FileName
    run_id: Text
    status: Text
    headline_eps: StoredEps
    suite: Declared
    samples: Positive
    data: DataEntry | None
    origins: Several[dict[Text, Any]]
    seconds: Number
    crosschecks: dict[Text, Count]
    models: Several[PublishedModel]
    cells: Several[PublishedCell]

    def outcome(self, model: PublishedModel, cell: PublishedCell | None = None) -> Outcome:
        """What became of the samples of ``model`` in ``cell``; unattacked where none is given."""
        correct = _bits(model.correct, self.samples)
        wrong = ~correct if cell is None else _bits(cell.wrong, self.samples)
        if model.right is None:
            return Outcome(correct, wrong)
        before = levels(model.right, self.samples).astype(np.float32)
        after = (
            before
            if cell is None or cell.right is None
            else levels(cell.right, self.samples).astype(np.float32)
        )
        return Outcome(correct, wrong, Chances(before, after, after))


def publish(run: StoredRun) -> Published:
    """What is published of the stored ``run``."""
    header, model_ranking, card = run.header, rank_models(run), score(run)
    origins = {
        json.dumps({name: o.get(name) for name in SOFTWARE}, sort_keys=True) for o in header.origins.values()
    }
    return Published(
        PUBLISHED_VERSION,
        header.suite_name,
        header.run_id,
        model_ranking.status,
        header.headline_eps,
        header.suite,
        header.samples,
        header.data,
        tuple(json.loads(origin) for origin in sorted(origins)),
        round(sum(c.seconds or 0 for c in header.cells), 1),
        dict(Counter(check.verdict for check in card.crosschecks)),
        tuple(_models(run, model_ranking, card)),
        tuple(_cells(run, model_ranking)),
    )


def _models(run: StoredRun, model_ranking: ModelRanking, card: Scorecard) -> Iterator[PublishedModel]:
    grades = {m.model: m.trust for m in card.models}
    for entry in run.header.models:
        own = [c for c in model_ranking.cells if c.entry.id.model == entry.id]
        if own:
            yield _model(
                entry, outcome_of(own[:1]), run.records(own[0].entry.key).clean_prob, grades[entry.id]
            )


def _model(
    entry: ModelEntry, outcome: Outcome, certainty: npt.NDArray[np.float32], grade: Grade
) -> PublishedModel:
    return PublishedModel(
        entry.model, entry.seed, entry.method, entry.trainable_parameters, entry.parameters, entry.sha256,
        entry.of, entry.passes, grade, pack_bits(outcome.correct), pack_levels(certainty),
        None if outcome.chances is None else pack_levels(outcome.chances.before),
    )  # fmt: skip


def _cells(run: StoredRun, model_ranking: ModelRanking) -> Iterator[PublishedCell]:
    """Every attack at every eps that finished through all its libraries, then each model's worst cases."""
    for group in by_attack(run.header.cells):
        if all(c.key in model_ranking.done for c in group):
            certainty = np.stack([run.records(c.key).adv_prob for c in group]).mean(axis=0, dtype=np.float64)
            yield _cell(
                group[0].attack,
                [model_ranking.done[c.key] for c in group],
                model_ranking,
                pack_levels(certainty),
            )
    for model in run.header.models:
        own = [
            c
            for c in model_ranking.cells
            if c.entry.id.model == model.id and c.entry.eps == run.header.headline_eps
        ]
        naive = [c for c in own if c.entry.role in UNKNOWING]
        if model.id in model_ranking.worst_cases:
            yield _cell(WORST_CASE, own, model_ranking)
            yield from [_cell(NAIVE_CASE, naive, model_ranking)] if model.of and naive else []


def _cell(
    attack: str, cells: Sequence[Scored], model_ranking: ModelRanking, certainty: str | None = None
) -> PublishedCell:
    first: CellEntry = cells[0].entry
    outcome, grade = outcome_of(cells), worst([model_ranking.grades[c.entry.key].grade for c in cells])
    return PublishedCell(
        first.model, first.seed, attack, first.eps, first.norm, first.role, grade,
        is_sound(cells, model_ranking.grades), pack_bits(outcome.wrong), certainty,
        None if outcome.chances is None else pack_levels(outcome.chances.after),
    )  # fmt: skip


def to_text(published: Published) -> str:
    """``published`` as its file's text, a line per model and cell, so that version control shows a change."""
    rows = {f.name: _written(getattr(published, f.name)) for f in fields(published)}
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {text}" for name, text in rows.items()) + "\n}\n"


def _written(value: Any) -> str:
    if isinstance(value, tuple) and value and not isinstance(value[0], dict):
        return (
            "[\n" + ",\n".join(json.dumps(_known(asdict(row)), default=eps_to_json) for row in value) + "\n]"
        )
    return json.dumps(asdict(value) if isinstance(value, DataEntry) else value, default=eps_to_json)


def _known(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def from_file(file: Path) -> Published:
    """What ``to_text`` wrote to ``file``. Raises NotComparableError if it cannot be used."""
    try:
        return from_text(read_bytes(file), str(file))
    except OSError as error:
        raise NotComparableError(f"{file}: cannot be read: {error.strerror}") from None


def from_text(text: str | bytes, title: str) -> Published:
    """What ``to_text`` wrote.

    Raises NotComparableError, naming ``title``, if it is broken or of a newer version.
    """
    try:
        data = parse(text)
        version = data.get("schema_version") if isinstance(data, dict) else None
        if isinstance(version, int) and version > PUBLISHED_VERSION:
            raise ValueError(
                f"written by a newer version: schema {version}, this one reads up to {PUBLISHED_VERSION}"
            )
        found = typed(_PUBLISHED, data)
        _check(found)
    except ValueError as error:
        raise NotComparableError(f"{title}: is not a published run ({error})") from None
    return found


_PUBLISHED = TypeAdapter(Published)


def _check(found: Published) -> None:
    """Raise ValueError where something is there twice, or contradicts the rest."""
    models = {m.id: m for m in found.models}
    if len(models) < len(found.models):
        raise ValueError("a model is there twice")
    if len({(c.id, c.attack, c.eps) for c in found.cells}) < len(found.cells):
        raise ValueError("a cell is there twice")
    for model in found.models:
        levels(model.certainty, found.samples)
    for cell in found.cells:
        if cell.id not in models:
            raise ValueError(f"has a cell of {cell.id}, which is not among its models")
        outcome = found.outcome(models[cell.id], cell)
        if (~outcome.correct & ~outcome.wrong).any():
            raise ValueError(
                f"{cell.id}, {cell.attack}: a sample is right under attack that was wrong before it"
            )
        if cell.certainty is not None:
            levels(cell.certainty, found.samples)


def schema() -> dict[str, Any]:
    """The JSON schema of the file."""
    return _PUBLISHED.json_schema()


def pack_bits(flags: Bools) -> str:
    """``flags``, a bit each."""
    return base64.b64encode(np.packbits(flags).tobytes()).decode()


def _bits(text: str, count: int) -> Bools:
    packed = np.frombuffer(_bytes(text, (count + 7) // 8, count), dtype=np.uint8)
    return np.unpackbits(packed, count=count).astype(bool)


def pack_levels(shares: npt.NDArray[Any]) -> str:
    """``shares`` from 0 to 1, each in 65,535ths; what ``levels`` reads."""
    return base64.b64encode(np.rint(shares.astype(np.float64) * LEVELS).astype("<u2").tobytes()).decode()


def levels(text: str, count: int) -> Row:
    """The shares of ``count`` samples, from 0 to 1. Raises ValueError where there are not as many."""
    return np.frombuffer(_bytes(text, 2 * count, count), dtype="<u2") / LEVELS


def _bytes(text: str, size: int, count: int) -> bytes:
    found = base64.b64decode(text, validate=True)
    if len(found) != size:
        raise ValueError(f"{len(found)} bytes are not those of {count} samples, which take {size}")
    return found
