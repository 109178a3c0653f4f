"""A run being made: what is finished of it is on disk at every moment."""

import hashlib
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from adapters.files.lock import claimed, held
from bench.errors import StorageError
from bench.ids import ModelId
from bench.store.atomic import RESUME, write_atomically
from bench.store.cellfile import Facts, decode, encode, encode_cell
from bench.store.checksum import BrokenFileError, to_json
from bench.store.evidence import Evidence
from bench.store.header import RUN_FILE, CellEntry, RunHeader, history_of, readable_header
from bench.store.origin import name_of, origin_of, software
from bench.store.records import Records
from bench.store.stored import IMAGES, cell_file, images_file, read_records
from bench.store.strips import Strip, Which, encode_strip, planned, share, strip_file
from bench.store.trustfile import encode_measured, read_measured, trust_file

WRITTEN_ANEW = "it was changed during the run, and is rewritten from what the run knows"

log = logging.getLogger(__name__)


class OpenRun:
    """A run being made, by this process and maybe by others. Its header on disk always says what is finished.

    ``provenance`` is this process's: the origin of what it computes; ``software`` names its code and
    packages. ``images`` says whether a cell is finished only when its adversarial images are stored too.
    """

    def __init__(
        self, path: Path, header: RunHeader, provenance: dict[str, Any], *, images: bool = False
    ) -> None:
        self.path = path
        self.images = images
        self.strips = planned(header)
        origin = origin_of(provenance)
        self._origin, self.software = name_of(origin), software(origin)
        self.header = replace(header, origins={**header.origins, self._origin: origin})
        # A cell that is killed between its file and run.json is told by this to be ours.
        self._entries = {
            c.key: c if c.status == "ok" else replace(c, origin=self._origin) for c in header.cells
        }
        self._ours: set[str] = set()

    @property
    def entries(self) -> dict[str, CellEntry]:
        """The cells by key."""
        return self._entries

    @property
    def planned(self) -> dict[ModelId, str]:
        """The sha256 of each model whose cells are stored here."""
        return {m.id: m.sha256 for m in self.header.models}

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Those of ``keys`` that have no records yet, or no images where these are asked for."""
        return [key for key in keys if not self._is_finished(self._entries[key])]

    def _is_finished(self, cell: CellEntry) -> bool:
        return cell.status == "ok" and not (self.images and cell.adversarials is None)

    def records(self, key: str) -> Records:
        """The records of the cell ``key``, which is finished.

        Raises UserError if they are missing or broken.
        """
        return read_records(cell_file(self.path, key))

    def claim(self, key: str) -> AbstractContextManager[bool]:
        """Claim the unit whose first cell is ``key``; yields False if another process has it."""
        return claimed(self._lock_file(key))

    def wait_for(self, key: str) -> AbstractContextManager[None]:
        """Claim the unit whose first cell is ``key`` once no other process has it."""
        return held(self._lock_file(key), self._name(key))

    def in_parts(self, key: str) -> AbstractContextManager[None]:
        """Within, this process runs the unit ``key``, and others may help with its parts."""
        return held(self._lock_file(key), None)

    def is_in_parts(self, key: str) -> bool:
        """Whether another process runs the unit ``key``."""
        with claimed(self._lock_file(key)) as ours:
            return not ours

    def claim_part(self, key: str, index: int) -> AbstractContextManager[bool]:
        """Claim the part ``index`` of the unit ``key``; yields False if another process has it."""
        return claimed(self._part_lock(key, index))

    @contextmanager
    def wait_for_part(self, key: str, index: int) -> Iterator[bool]:
        """Claim the part ``index`` of the unit ``key`` once no other process has it; yields True."""
        with held(self._part_lock(key, index), None):
            yield True

    def write_cell(self, key: str, records: Records, **cost: float | int) -> None:
        """Store a finished cell."""
        entry = self._entries[key]
        self._write(cell_file(self.path, key), encode_cell(records, entry.id, key))
        self.note(key, status="ok", error=None, origin=self._origin, **cost)

    def write_images(self, key: str, data: bytes, checked: dict[str, int]) -> Path:
        """Store the adversarial images of a finished cell, and what the model said of them."""
        file = images_file(self.path, key)
        self._write(file, data)
        self.note(key, adversarials={"sha256": hashlib.sha256(data).hexdigest(), **checked})
        return file

    def write_strip(self, key: str, which: Which, strip: Strip) -> None:
        """Store ``strip`` of cell ``key`` unless it takes more than its share of what all strips may take."""
        data = encode_strip(strip)
        if len(data) <= share(self.strips):
            self._write(strip_file(self.path, key, which), data)

    def write_error(self, key: str, reason: str) -> None:
        """Note that a cell failed, and why."""
        self.note(key, status="error", error=reason)

    def write_part(
        self, key: str, index: int, records: Records, facts: Facts, images: bytes | None = None
    ) -> None:
        """Store the part ``index`` of the unit with the key ``key``, until the unit is finished."""
        facts = {**facts, "software": self.software}
        if images is not None:
            self._write(self._part_images_file(key, index), images, durable=False)
            facts = {**facts, "images": hashlib.sha256(images).hexdigest()}
        self._write(self._part_file(key, index), encode(records, facts), durable=False)

    def read_part(self, key: str, index: int) -> tuple[Records, Facts] | None:
        """The part ``index`` of the unit ``key``; None if it, or images asked for, are not done or damaged.

        One that other code or other packages have computed is none either: a cell has one origin.
        """
        file = self._part_file(key, index)
        try:
            records, facts = decode(file.read_bytes())
            if facts.get("software") != self.software:
                raise BrokenFileError("computed by other code or packages")
            if self.images and hashlib.sha256(self.read_part_images(key, index)).hexdigest() != facts.get(
                "images"
            ):
                raise BrokenFileError("its images are damaged")
        except FileNotFoundError:
            return None
        except (OSError, BrokenFileError) as error:
            log.warning("%s: %s; recomputed", file, error)
            return None
        return records, facts

    def read_part_images(self, key: str, index: int) -> bytes:
        """The images of a part that ``read_part`` has found whole."""
        return self._part_images_file(key, index).read_bytes()

    def parts(self, key: str) -> list[int]:
        """The indices of the parts that are stored of the unit ``key``, whole or damaged."""
        return sorted(int(file.stem) for file in self._part_file(key, 0).parent.glob("*.parquet"))

    def drop_parts(self, key: str) -> None:
        """Remove the parts of the unit with the key ``key``."""
        with locked(self.path.parent):  # where no other process writes one
            shutil.rmtree(self._part_file(key, 0).parent, ignore_errors=True)

    def learn(self, origins: dict[str, dict[str, Any]]) -> None:
        """Know ``origins`` too: cells that have them may be taken over."""
        self.header = replace(self.header, origins=origins | self.header.origins)

    def refresh(self) -> None:
        """Take note of what other processes have finished."""
        with locked(self.path.parent):
            self._merge()

    def has_evidence(self, key: str, *, fresh: bool) -> bool:
        """Whether sound evidence ``key`` is stored here.

        Unless ``fresh``, that of another run under these results counts.
        """
        target = trust_file(self.path, key)
        others = [] if fresh else sorted(self.path.parent.parent.glob(f"*/*/trust/{key}.json"), reverse=True)
        found = next(
            (file for file in dict.fromkeys([target, *others]) if file.is_file() and _is_sound(file)), None
        )
        if found is not None and found != target:
            self._write(target, found.read_bytes())
            self._supersede(target)
        return found is not None

    def write_evidence(self, key: str, evidence: Sequence[Evidence], *, seconds: float) -> None:
        """Store what one model's checks measured, and how long they took."""
        self._write(trust_file(self.path, key), encode_measured(key, evidence, seconds))
        self._supersede(trust_file(self.path, key))

    def _supersede(self, newest: Path) -> None:
        """Remove what was measured of the model of ``newest`` before, by other code or beside other cells."""
        for file in newest.parent.glob("*.json"):
            if file != newest and _is_sound(file) and _model_of(file) & _model_of(newest):
                file.unlink()

    def save(self, status: str) -> None:
        """Write run.json with all cells as they are here and there; ``status`` holds unless all are done."""
        with locked(self.path.parent):
            self._merge()
            self.write_header(status)
            # A unit that was stopped between two of its cells left parts of both.
            if not self.missing(list(self._entries)):
                shutil.rmtree(self.path / "parts", ignore_errors=True)

    def close(self) -> None:
        """Write run.json at the end of the run.

        A finished cell whose file was removed meanwhile is an error again.
        """
        self.save("incomplete")
        lost = [
            key
            for key, cell in self._entries.items()
            if cell.status == "ok" and not cell_file(self.path, key).is_file()
        ]
        if lost:
            log.warning(
                "%s: the files of %d finished cells were removed during the run; run again",
                self.path,
                len(lost),
            )
            for key in lost:
                self.write_error(key, "its file was removed during the run; run again to recompute it")
            with locked(self.path.parent):
                self.write_header("incomplete")

    def write_header(self, status: str) -> None:
        """Write run.json with cells as this process sees them; the caller has merged, and holds the lock."""
        state = self._entries
        cells = tuple(
            replace(state[c.key], model=c.model, seed=c.seed, attack=c.attack) for c in self.header.cells
        )
        done = "complete" if all(cell.status == "ok" for cell in cells) else status
        used = {self._origin, *(cell.origin for cell in cells)}
        origins = {name: origin for name, origin in sorted(self.header.origins.items()) if name in used}
        self.header = replace(self.header, status=done, cells=cells, origins=origins)
        write_atomically(self.path / RUN_FILE, to_json(asdict(self.header)))
        # From here on run.json speaks for them: whoever tries a failed cell again knows better.
        self._ours.clear()

    def note(self, key: str, **changes: Any) -> None:
        """Change the entry of the cell ``key``, which this process now answers for."""
        self._entries[key] = replace(self._entries[key], **changes)
        self._ours.add(key)

    def _merge(self) -> None:
        """What this process did holds; of the rest, what run.json says. A finished cell stays finished."""
        file = self.path / RUN_FILE
        stored = (readable_header(file, mend=WRITTEN_ANEW) if file.is_file() else None) or self.header
        self.learn(stored.origins)
        for cell in stored.cells:
            mine = self._entries.get(cell.key)
            if mine and not self._is_finished(mine) and (cell.status == "ok" or cell.key not in self._ours):
                self._entries[cell.key] = replace(
                    mine,
                    status=cell.status,
                    error=cell.error,
                    adversarials=cell.adversarials,
                    **history_of(cell),
                )

    def _write(self, file: Path, data: bytes, *, durable: bool = True) -> None:
        with locked(self.path.parent):
            write_atomically(file, data, durable=durable)

    def _lock_file(self, key: str) -> Path:
        return self.path / ".locks" / f"{key}.lock"

    def _part_file(self, key: str, index: int) -> Path:
        return self.path / "parts" / key / f"{index:05d}.parquet"

    def _part_lock(self, key: str, index: int) -> Path:
        return self._part_file(key, index).with_suffix(".lock")

    def _part_images_file(self, key: str, index: int) -> Path:
        return self._part_file(key, index).with_suffix(IMAGES)

    def _name(self, key: str) -> str:
        cell = self._entries[key]
        return str(cell.id.unit)


def _model_of(file: Path) -> set[ModelId]:
    """The model that the evidence in ``file`` is about; empty where nothing could be measured."""
    return {e.subject for e in read_measured(file).evidence}


def _is_sound(file: Path) -> bool:
    """Whether the evidence in ``file`` is as it was written.

    Without a checksum nobody knows: it is measured anew.
    """
    try:
        if read_measured(file).sealed:
            return True
        raise BrokenFileError("it has no checksum")
    except BrokenFileError as error:
        log.warning("%s: %s; measured again", file, error)
        return False


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Alone among the processes that write to the runs in ``folder``."""
    try:
        with held(folder / ".lock", str(folder)):
            yield
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written: {error.strerror}; {RESUME}") from None
