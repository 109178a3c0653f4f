"""run.json as data: what was asked, where and with what, and how each cell stands."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import NotComparableError, UserError
from bench.seal import BrokenFileError, from_json
from bench.store.origin import Origin, origin_of

SCHEMA_VERSION = 2
SEALED_SINCE = 2
"""The version from which on run.json has a checksum; what was written before is read without one."""
RUN_FILE = "run.json"
CELLS = "cells"
MEND = "run the suite again, which takes over the sound cells, and delete this folder"
FIRST_RULE = 2
"""By which models were named in runs of before the rule was kept."""
WEIGHTS_SUFFIX = ".safetensors"
COSTS = ("seconds", "forwards", "backwards")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CellEntry:
    """A cell in run.json. ``status`` is "ok", "error" (with ``error`` the reason) or "missing"; costs are this cell's share.

    ``adversarials`` is there if the images were stored: the file's sha256 and what the model said of it when read again.
    ``kind`` is the attack's name in the contract, whatever the suite calls it; ``access`` and ``budget`` are the contract's.
    ``origin`` names the origin of the cell among the run's; empty where nobody knows it.
    """

    model: str
    seed: int
    attack: str
    eps: str
    norm: str
    library: str
    pairing: str
    key: str
    status: str = "missing"
    error: str | None = None
    seconds: float | None = None
    forwards: int | None = None
    backwards: int | None = None
    adversarials: dict[str, Any] | None = None
    kind: str = ""
    access: str = ""
    budget: str = ""
    origin: str = ""


@dataclass(frozen=True)
class ModelEntry:
    """A model in run.json. ``sha256`` names all that it is made of; ``files`` has the sha256 of each of its files.

    ``preprocessing`` is what happens to an image inside it (adapters.preprocessing), and ``notes`` are sentences on what was
    chosen when its files were read; empty in runs of before they were kept. ``rule`` is the version of the rule by which
    ``sha256`` is made: by another one, the same model has another name.
    """

    model: str
    seed: int
    method: str
    trainable_parameters: int
    parameters: int
    sha256: str
    files: dict[str, str] = field(default_factory=dict)
    preprocessing: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    rule: int = FIRST_RULE

    def same_as(self, other: "ModelEntry") -> bool | None:
        """Whether the two are one model. None where nobody can tell: they are named by different rules, and files differ."""
        if self.rule == other.rule:
            return self.sha256 == other.sha256
        mine, theirs = ({k: v for k, v in m.files.items() if k.endswith(WEIGHTS_SUFFIX)} for m in (self, other))
        return True if mine and mine == theirs else None


@dataclass(frozen=True)
class DataEntry:
    """The attacked samples in run.json: ``n`` of ``available``, ``size`` x ``size`` pixels, of ``classes`` in label order.

    ``native`` is the smallest and the largest shorter side in pixels before scaling; ``cropped``: whether parts were cut off.
    """

    n: int
    available: int | None
    classes: tuple[str, ...]
    size: int
    native: tuple[int, int] | None = None
    cropped: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunHeader:
    """run.json as data. ``suite`` is the whole resolved declaration; ``headline_eps`` is where models are ranked.

    ``provenance`` is that of the last command that worked on the run; ``origins`` has that of each cell, by its name. ``data``
    is None in runs of before it was kept.
    """

    schema_version: int
    run_id: str
    fingerprint: str
    status: str
    suite_name: str
    headline_eps: str
    suite: dict[str, Any]
    data_hash: str
    samples: int
    provenance: dict[str, Any]
    models: tuple[ModelEntry, ...]
    cells: tuple[CellEntry, ...]
    origins: dict[str, dict[str, Any]] = field(default_factory=dict)
    data: DataEntry | None = None

    def origin(self, name: str) -> Origin | None:
        """Where and by what the cells of the origin ``name`` were computed; None where nobody knows.

        Runs of before origins were kept say so in their provenance alone.
        """
        return self.origins.get(name) if self.origins else origin_of(self.provenance)


def readable_header(file: Path) -> RunHeader | None:
    """The header in ``file``, or None, with a warning that names it, if it cannot be used."""
    try:
        return read_header(file)
    except UserError as error:
        log.warning("%s", error)
        return None


def read_header(file: Path) -> RunHeader:
    """The header in ``file``. Raises UserError if it cannot be used."""
    try:
        fields, sealed = from_json(file.read_bytes())
        header = parse_header(fields, str(file))
        if not sealed and header.schema_version >= SEALED_SINCE:
            raise BrokenFileError("damaged: it has no checksum")
    except FileNotFoundError:
        if not (file.parent / CELLS).is_dir():
            raise UserError(f"{file}: is missing; give the folder of a run") from None
        raise NotComparableError(f"{file}: is missing, so that nobody knows what its cells are; {MEND}") from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}; give the folder of a run") from None
    except BrokenFileError as error:
        raise NotComparableError(f"{file}: {error}; {MEND}") from None
    return header


def parse_header(fields: dict[str, Any], file: str) -> RunHeader:
    """A header from the ``fields`` of ``file``. Raises NotComparableError if they are broken, or of a newer version."""
    try:
        if fields["schema_version"] > SCHEMA_VERSION:
            raise NotComparableError(
                f"{file}: written by a newer version (schema {fields['schema_version']}, this one reads up to {SCHEMA_VERSION})"
            )
        models = tuple(ModelEntry(**{**m, "notes": tuple(m.get("notes", ()))}) for m in fields["models"])
        cells = tuple(CellEntry(**c) for c in fields["cells"])
        _check_names([fields["suite_name"], *(cell.key for cell in cells)])
        return RunHeader(**{**fields, "models": models, "cells": cells, "data": _data_entry(fields.get("data"))})
    except (KeyError, TypeError, ValueError) as error:
        raise NotComparableError(f"{file}: is broken ({error}); {MEND}") from None


def _data_entry(fields: dict[str, Any] | None) -> DataEntry | None:
    """The entry in ``fields``, with JSON's lists as tuples."""
    if fields is None:
        return None
    plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    return DataEntry(**plain)


def _check_names(names: Sequence[str]) -> None:
    """Raise ValueError unless each of ``names`` can only name a file in the folder where it is looked for."""
    for name in names:
        if Path(name).name != name or name in ("", "..") or "\0" in name:
            raise ValueError(f"{name!r} is no name of a file")


def history_of(cell: CellEntry) -> dict[str, Any]:
    """What ``cell`` took, and its origin."""
    return {name: getattr(cell, name) for name in (*COSTS, "origin")}
