"""Images in folders: one folder per class, or the official layout of a data set."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from bench.data.raw import Places, RawSet
from bench.data.spec import DataSpec, Split
from bench.errors import UserError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}
"""Those of torchvision's ImageFolder."""
Labelled = tuple[Path, str]
"""An image file and the name of its class."""


def open_folder(spec: DataSpec, split: Split, places: Places) -> RawSet:
    """The folder ``spec.path`` under the data root: train/ and test/ (or val/) of class folders, or these alone."""
    assert spec.path is not None  # noqa: S101 (DataSpec checks it)
    return class_folders(places.root / spec.path, split, native_size=224)


def class_folders(folder: Path, split: Split, *, native_size: int) -> RawSet:
    """The images of ``folder``/train or ``folder``/test (or val), each class in its own folder, classes by name.

    A folder without train/ holds the classes itself and is not divided. Raises UserError where there is nothing to read, or
    where the parts do not hold the same classes: their labels would not mean the same.
    """
    divided = (folder / "train").is_dir()
    part = _part(folder, split) if divided else folder
    if not part.is_dir():
        raise UserError(f"{part}: no such folder; put the images there, one folder per class, or mend --data-root")
    classes = _class_names(part)
    if divided and classes != (trained := _class_names(folder / "train")):
        differing = ", ".join(sorted(set(classes) ^ set(trained)))
        raise UserError(f"{part}: has not the class folders of {folder / 'train'} (differing: {differing}); make them the same")
    files = [(file, name) for name in classes for file in images_in(part / name)]
    return from_files(folder, files, classes, native_size=native_size, divided=divided)


def _class_names(part: Path) -> list[str]:
    """The folders in ``part`` but hidden ones, which tools leave behind."""
    return sorted(entry.name for entry in part.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _part(folder: Path, split: Split) -> Path:
    if split != "test":
        return folder / "train"
    return folder / "test" if (folder / "test").is_dir() else folder / "val"


def images_in(folder: Path) -> list[Path]:
    """The image files in ``folder``, in the order of their numbers; raises UserError if there are none."""
    entries = folder.iterdir() if folder.is_dir() else ()
    files = [file for file in entries if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]
    if not files:
        raise UserError(f"{folder}: no images here; the data set is incomplete: unpack it again")
    return sorted(files, key=lambda file: (len(file.name), file.name))


def from_files(
    folder: Path, files: Sequence[Labelled], classes: Sequence[str], *, native_size: int, divided: bool = True
) -> RawSet:
    """``files`` as a set; ids are their paths from the data set's ``folder``."""
    number = {name: i for i, name in enumerate(classes)}
    ids = tuple(f"{folder.name}/{file.relative_to(folder).as_posix()}" for file, _ in files)
    return RawSet(
        classes=tuple(classes),
        labels=np.array([number[name] for _, name in files], dtype=np.int64),
        ids=ids,
        image=lambda i: read_image(files[i][0]),
        native_size=native_size,
        stamp=stamp(files),
        divided=divided,
    )


def stamp(files: Sequence[Labelled]) -> str:
    """A digest that changes when a file, its class, size or time of change does."""
    digest = hashlib.sha256()
    for file, name in files:
        facts = file.stat()
        digest.update(f"{file}\0{name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def read_image(file: Path) -> Image.Image:
    """The picture in ``file`` as RGB; raises UserError if it cannot be decoded."""
    try:
        with Image.open(file) as image:
            if image.mode in {"I", "F"}:
                raise UserError(f"{file}: its pixels (mode {image.mode}) have no fixed range; save it with 8 bits a channel")
            return _eight_bits(image).convert("RGB")
    except (OSError, SyntaxError) as error:
        raise UserError(f"{file}: not a readable image ({error}); restore the file or unpack the data set again") from None


def _eight_bits(image: Image.Image) -> Image.Image:
    """``image``, its 16 bits a pixel scaled to 8 where it has as many: Pillow itself would cut them off at 255."""
    if not image.mode.startswith("I;16"):
        return image
    return Image.fromarray(np.round(np.asarray(image) / 257).astype(np.uint8))
