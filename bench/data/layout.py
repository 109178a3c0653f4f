"""How a folder of images is laid out: train/, test/ and val/ of class folders, or class folders alone.

The names of the parts are in any usual spelling.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.data.pictures import shown
from bench.errors import UserError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}
"""Those of torchvision's ImageFolder."""
NOT_READ = {".apng", ".avif", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jxl", ".npy", ".tga"}
"""Pictures that ImageFolder does not see."""
Part = Literal["train", "test", "val"]
SPELLINGS: dict[str, Part] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
}
"""Those that Hugging Face's imagefolder knows.

Upper and lower case, and a following "_set" or "_data", are all one.
"""


@dataclass(frozen=True)
class Parts:
    """The parts of a data set that hold class folders.

    ``unlabelled`` are the folders of such a name that hold none.
    """

    of: dict[Part, Path]
    unlabelled: tuple[Path, ...]


def find_parts(folder: Path) -> Parts:
    """The parts in ``folder``. Raises UserError where one is there twice.

    A part holds at least two class folders, and no images beside them: what data sets call test/images/ has
    no labels. Without any part, a folder with images right in it is a class, whatever its name: "train" is a
    vehicle too.
    """
    of: dict[Part, Path] = {}
    unlabelled, loose = [], []
    for entry in listing(folder)[0]:
        part = part_named(entry.name)
        if part is None:
            continue
        classes, images = listing(entry)
        if images:
            loose.append(entry)
        elif len(classes) < 2:
            unlabelled.append(entry)
        elif part in of:
            raise UserError(
                f"{shown(folder)}: holds both {of[part].name}/ and {entry.name}/; leave one of them there"
            )
        else:
            of[part] = entry
    return Parts(of, (*unlabelled, *(loose if of else ())))


def part_named(name: str) -> Part | None:
    """The part that a folder called ``name`` is, going by its name."""
    return SPELLINGS.get(re.sub(r"[\W_]*(set|data)$", "", name.lower()))


def listing(folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders and images right in ``folder``, but hidden ones, in the order of their numbers.

    Tools leave hidden ones behind. What is an image goes by its suffix. Raises UserError if ``folder`` cannot
    be read, or for a name that is not text.
    """
    folders: list[Path] = []
    images: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                within = _is_folder(entry)
                if entry.name.startswith(".") or not (within or Path(entry.name).suffix.lower() in SUFFIXES):
                    continue
                _check_text(folder / entry.name)
                (folders if within else images).append(folder / entry.name)
    except OSError as error:
        raise UserError(
            f"{shown(folder)}: cannot be read: {error.strerror}; fix it, or correct --data-root"
        ) from None
    return sorted(folders, key=_by_number), sorted(images, key=_by_number)


def _by_number(entry: Path) -> tuple[int, str]:
    return len(entry.name), entry.name


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle: an image, by its suffix, is named when it is read
        return False


def _check_text(entry: Path) -> None:
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        raise UserError(
            f"{shown(entry)}: its name is not UTF-8, as the names of samples must be; rename it"
        ) from None


def images_in(folder: Path) -> list[Path]:
    """The images in ``folder`` and all folders below, as ImageFolder finds them.

    Raises UserError if there are none, and where a link leads to a folder that is read already: there might
    be no end.
    """
    found: list[Path] = []
    read: dict[tuple[int, int], Path] = {}
    left = [folder] if folder.is_dir() else []
    while left:
        here = left.pop()
        folders, images = listing(here)
        facts = here.stat()
        if first := read.get((facts.st_dev, facts.st_ino)):
            raise UserError(
                f"{shown(here)}: leads to {shown(first)}, which is read already; remove this link"
            )
        read[facts.st_dev, facts.st_ino] = here
        found += images
        left += reversed(folders)
    if not found:
        raise UserError(
            f"{shown(folder)}: no images here or in folders below (looked for {', '.join(sorted(SUFFIXES))});"
            " add some, or leave the class out (exclude)"
        )
    return found


def pictures_not_read(folders: Iterable[Path]) -> Counter[str]:
    """How many files right in ``folders`` are pictures that are not read, by suffix."""
    files = (file for folder in folders for file in folder.iterdir() if not file.name.startswith("."))
    return Counter(suffix for file in files if (suffix := file.suffix.lower()) in NOT_READ)
