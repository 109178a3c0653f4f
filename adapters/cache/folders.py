"""Folders of the model cache: they appear whole or not at all, and carry the checksums of their files.

``SHA256SUMS`` in each folder is in the format of coreutils: ``sha256sum -c SHA256SUMS`` checks it by hand.
"""

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adapters.errors import ChangedError
from adapters.files.disk import writing
from adapters.files.lock import held

SUMS = "SHA256SUMS"
TEMPORARY = ".new-"

log = logging.getLogger(__name__)


@contextmanager
def alone(folder: Path, what: str) -> Iterator[None]:
    """Let only this process make ``folder``; look again whether it is there once inside.

    Raises ChangedError if the cache that ``folder`` is in is removed meanwhile.
    """
    try:
        with held(folder.with_name(f"{folder.name}.lock"), what):
            yield
    except FileNotFoundError as error:
        cache = folder.parent.parent
        if str(cache) not in str(error):
            raise
        raise ChangedError(
            f"{cache}: was removed, wholly or in part, while {what} was being built there ({error}); run"
            " again"
        ) from None


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``target`` when it is filled; to be used inside ``alone(target)``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{TEMPORARY}{target.name}-"
    for orphan in [target, *target.parent.glob(f"{prefix}*")]:  # damaged, or left by a killed process
        shutil.rmtree(orphan, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    try:
        with writing(target):
            yield temporary
            _seal(temporary)
        temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _seal(folder: Path) -> None:
    sums = "".join(f"{sha256(file)}  {file.relative_to(folder)}\n" for file in _files(folder))
    (folder / SUMS).write_text(sums, encoding="utf-8")
    for file in _files(folder):
        _sync(file)


def is_sound(folder: Path) -> bool:
    """Whether all files of ``folder`` are as written; a folder that exists and is not is named in the log."""
    if not folder.is_dir():
        return False
    try:
        damaged = [name for name, digest in read_sums(folder).items() if sha256(folder / name) != digest]
    except (OSError, ValueError) as error:
        damaged = [str(error)]
    if damaged:
        log.warning("%s: damaged (%s); rebuilt", folder, ", ".join(damaged))
    return not damaged


def read_sums(folder: Path) -> dict[str, str]:
    """sha256 by file name. Raises OSError or ValueError if ``SHA256SUMS`` is missing or damaged."""
    lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    sums = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    if not sums:
        raise ValueError(f"{SUMS} is empty")
    return sums


def read_whole(folder: Path) -> dict[str, bytes]:
    """The bytes of each file of ``folder`` by name, all as they were written.

    Raises OSError or ValueError otherwise.
    """
    found = {}
    for name, digest in read_sums(folder).items():
        found[name] = (folder / name).read_bytes()
        if hashlib.sha256(found[name]).hexdigest() != digest:
            raise ValueError(f"{name} is damaged")
    return found


def sha256(file: Path) -> str:
    """The sha256 of ``file``, in hex."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _sync(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
