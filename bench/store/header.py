"""run.json as data: what was asked, where and with what, and how each cell stands."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter

from bench.errors import NotComparableError, UserError
from bench.ids import CellId, ModelId
from bench.store.checksum import BrokenFileError, from_json
from bench.store.origin import Origin, origin_of
from bench.store.shapes import (
    Carrier,
    Count,
    Declared,
    Digests,
    FileName,
    Flag,
    Images,
    Loss,
    Norm,
    Number,
    Pairing,
    Positive,
    Preprocessed,
    Provenance,
    Robust,
    Several,
    Status,
    StoredEps,
    Text,
    Words,
)
from bench.store.strangers import read_bytes, typed

SCHEMA_VERSION = 4
SEALED_SINCE = 2
"""The version from which on run.json has a checksum; what was written before is read without one."""
RUN_FILE = "run.json"
CELLS = "cells"
MEND = "run the suite again, which takes over the sound cells, and delete this folder"
FIRST_RULE = 2
"""By which models were named in runs from before the rule was kept."""
WEIGHTS_SUFFIX = ".safetensors"
COSTS = ("seconds", "forwards", "backwards")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CellEntry:
    """A cell in run.json.

    ``status`` is "ok", "error" (with ``error`` the reason) or "missing"; costs are this cell's share.

    ``adversarials`` is there if the images were stored: the file's sha256 and what the model said of it when
    read again. ``kind`` is the attack's name in the contract, whatever the suite calls it; ``access`` and
    ``budget`` are the contract's. ``origin`` names the origin of the cell among the run's; empty where nobody
    knows it. ``role`` is what the attack knows of the model's defences (naive, adaptive, or both, where there
    is nothing to know); empty where there are none. ``draws`` is how many estimate what a random model is
    right in; 0 where that is exact.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    model: Text
    seed: Count
    attack: Text
    eps: StoredEps
    norm: Norm
    library: Carrier
    pairing: Pairing
    key: FileName
    status: Status = "missing"
    error: Words | None = None
    seconds: Number | None = None
    forwards: Count | None = None
    backwards: Count | None = None
    adversarials: Images | None = None
    kind: Text = ""
    access: Text = ""
    budget: Text = ""
    origin: Text = ""
    role: Text = ""
    draws: Count = 0

    @cached_property
    def id(self) -> CellId:
        """What it is the cell of."""
        return CellId(ModelId(self.model, self.seed), self.attack, self.library, self.norm, self.eps)


SCALED = "scaled_to"
"""Where a model's preprocessing says to how many pixels it scales the suite's images inside.

It is left out where it does not scale them.
"""


@dataclass(frozen=True)
class ModelEntry:
    """A model in run.json.

    ``sha256`` names all that it is made of; ``files`` has the sha256 of each of its files.

    ``preprocessing`` is what happens to an image inside it (adapters.preprocessing), and ``notes`` are
    sentences on what was chosen when its files were read; empty in runs from before they were kept. ``rule``
    is the version of the rule by which ``sha256`` is made: by another one, the same model has another name.
    ``of`` names the models of the run whose weights it has, with the defences ``method`` around them; empty
    where they are its own. An answer takes ``passes`` through networks. ``losses`` are those of each epoch of
    its training, ``robust`` is how an adversarial one went; empty and None in runs of before they were kept.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    model: Text
    seed: Count
    method: Text
    trainable_parameters: Count
    parameters: Count
    sha256: Text
    files: Digests = field(default_factory=dict)
    preprocessing: Preprocessed = field(default_factory=dict)
    notes: Several[Words] = ()
    rule: Count = FIRST_RULE
    of: Several[Text] = ()
    passes: Count = 1
    losses: Several[Loss] = ()
    robust: Robust | None = None

    @property
    def id(self) -> ModelId:
        """Its name and training seed."""
        return ModelId(self.model, self.seed)

    def same_as(self, other: "ModelEntry") -> bool | None:
        """Whether the two are one model.

        None where nobody can tell: they are named by different rules, and files differ.
        """
        if self.rule == other.rule:
            return self.sha256 == other.sha256
        mine, theirs = (
            {k: v for k, v in m.files.items() if k.endswith(WEIGHTS_SUFFIX)} for m in (self, other)
        )
        return True if mine and mine == theirs else None


@dataclass(frozen=True)
class DataEntry:
    """The attacked samples in run.json: ``n`` of ``available``, of ``size`` x ``size`` pixels.

    ``classes`` are in label order. ``native`` is the smallest and the largest shorter side in pixels before
    scaling; ``cropped``: whether parts were cut off.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    n: Positive
    available: Positive | None
    classes: Annotated[Several[Words], Field(min_length=1)]
    size: Positive
    native: tuple[Positive, Positive] | None = None
    cropped: Flag = False
    notes: Several[Words] = ()


@dataclass(frozen=True)
class RunHeader:
    """run.json as data.

    ``suite`` is the whole resolved declaration; ``headline_eps`` is where models are ranked.

    ``provenance`` is that of the last command that worked on the run; ``origins`` has that of each cell, by
    its name. ``data`` is None in runs from before it was kept.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    schema_version: Count
    run_id: Text
    fingerprint: Text
    status: Text
    suite_name: FileName
    headline_eps: StoredEps
    suite: Declared
    data_hash: Text
    samples: Positive
    provenance: Provenance
    models: Several[ModelEntry]
    cells: Several[CellEntry]
    origins: dict[Text, Provenance] = field(default_factory=dict)
    data: DataEntry | None = None

    def origin(self, name: str) -> Origin | None:
        """Where and by what the cells of the origin ``name`` were computed; None where nobody knows.

        Runs from before origins were kept say so in their provenance alone.
        """
        return self.origins.get(name) if self.origins else origin_of(self.provenance)


def readable_header(file: Path, mend: str = MEND) -> RunHeader | None:
    """The header in ``file``; if unusable, None, with a warning that names it and how to ``mend`` it."""
    try:
        return read_header(file)
    except UserError as error:
        log.warning("%s", str(error).replace(MEND, mend))
        return None


def read_header(file: Path) -> RunHeader:
    """The header in ``file``. Raises UserError if it cannot be used."""
    try:
        fields, sealed = from_json(read_bytes(file))
        header = parse_header(fields, str(file))
        if not sealed and header.schema_version >= SEALED_SINCE:
            raise BrokenFileError("damaged: it has no checksum")
    except FileNotFoundError:
        if not (file.parent / CELLS).is_dir():
            raise UserError(f"{file}: is missing; give the folder of a run") from None
        raise NotComparableError(
            f"{file}: is missing, so it is not known what its cells are; {MEND}"
        ) from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}; give the folder of a run") from None
    except (BrokenFileError, ValueError) as error:
        raise NotComparableError(f"{file}: {error}; {MEND}") from None
    return header


def parse_header(fields: dict[str, Any], file: str) -> RunHeader:
    """A header from the ``fields`` of ``file``.

    Raises NotComparableError if they are broken, or of a newer version.
    """
    try:
        if fields["schema_version"] > SCHEMA_VERSION:
            raise NotComparableError(
                f"{file}: written by a newer version (schema {fields['schema_version']}, this one reads up to"
                f" {SCHEMA_VERSION})"
            )
        header = typed(_HEADER, fields)
        _check_once(header.cells)
    except (KeyError, TypeError, ValueError) as error:
        raise NotComparableError(f"{file}: is broken ({error}); {MEND}") from None
    return header


_HEADER = TypeAdapter(RunHeader)


def _check_once(cells: Sequence[CellEntry]) -> None:
    """Raise ValueError if one of ``cells`` is there twice: an ensemble's cell leaves no room for a library's.

    Equal models have equal cells, so that a key may be.
    """
    carriers: dict[tuple[object, ...], set[str]] = defaultdict(set)
    for i, cell in enumerate(cells):
        group = carriers[cell.id.model, cell.id.attack_eps]
        if cell.library in group or "both" in group or (group and cell.library == "both"):
            raise ValueError(f"cells[{i}]: is there twice")
        group.add(cell.library)


def history_of(cell: CellEntry) -> dict[str, Any]:
    """What ``cell`` took, and its origin."""
    return {name: getattr(cell, name) for name in (*COSTS, "origin")}
