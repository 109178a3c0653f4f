"""Tiny-ImageNet (Le & Yang 2015) in its official layout.

It has 200 classes of 500 training and 50 validation images, 64 x 64. Its test labels were never published:
the validation split is the test set here, as everywhere.
"""

import shutil
from pathlib import Path

from bench.data.choose import pick_classes
from bench.data.folder import Labelled, from_files
from bench.data.layout import images_in, listing
from bench.data.raw import Places, RawSet
from bench.data.spec import DataSpec, Split
from bench.errors import UserError

FOLDER = "tiny-imagenet-200"
URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
MD5 = "90528d7ca1a48142e341f4ef8d21d0de"


def open_tiny_imagenet(spec: DataSpec, split: Split, places: Places) -> RawSet:
    """The training or the validation images; classes are WordNet ids in the order of wnids.txt."""
    folder = places.root / FOLDER
    if not folder.is_dir():
        _download(places.root)
    classes = _read(folder / "wnids.txt").split()
    if not classes:
        raise UserError(f"{folder / 'wnids.txt'}: names no class; {_by_hand(places.root)}")
    picked = pick_classes(classes, spec.classes, spec.exclude)
    chosen = [name for name in classes if name in picked]
    if split != "test":
        return from_files(folder, _by_class(folder / "train", chosen), classes, native_size=64)
    if _is_sorted(folder / "val"):
        notes = (f"{FOLDER}/val is sorted into class folders, which are taken as its labels",)
        return from_files(folder, _by_class(folder / "val", chosen), classes, native_size=64, notes=notes)
    return from_files(folder, _validation(folder, classes), classes, native_size=64)


def _by_class(part: Path, classes: list[str]) -> list[Labelled]:
    return [(file, name) for name in classes for file in images_in(part / name)]


def _is_sorted(val: Path) -> bool:
    """Whether the validation images were moved to class folders, as many scripts do, whatever remains."""
    folders = {entry.name for entry in listing(val)[0]} if val.is_dir() else set()
    return bool(folders - {"images"}) and ("images" not in folders or not listing(val / "images")[1])


def _validation(folder: Path, classes: list[str]) -> list[Labelled]:
    """Every image of val/images with the class that val_annotations.txt gives it."""
    listed, images = folder / "val" / "val_annotations.txt", folder / "val" / "images"
    rows = [line.split("\t") for line in _read(listed).splitlines() if line.strip()]
    for row in rows:
        if len(row) < 2 or row[1] not in classes:
            raise UserError(
                f"{listed}: the line of {row[0]} names no class of wnids.txt; {_by_hand(folder.parent)}"
            )
    named, there = {row[0] for row in rows}, {file.name for file in images_in(images)}
    for wrong, problem in (
        (named - there, "in val_annotations.txt but missing"),
        (there - named, "not in val_annotations.txt"),
    ):
        if wrong:
            more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            raise UserError(f"{images / min(wrong)}{more}: {problem}; {_by_hand(folder.parent)}")
    if absent := set(classes) - {row[1] for row in rows}:
        raise UserError(f"{listed}: has no image of the class {min(absent)}; {_by_hand(folder.parent)}")
    return [(images / row[0], row[1]) for row in rows]


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        raise UserError(
            f"{file}: missing, so the data set is incomplete; {_by_hand(file.parents[1])}"
        ) from None


def _by_hand(root: Path) -> str:
    return (
        f"download {URL} (md5 {MD5}) and unpack it, so that {root / FOLDER / 'wnids.txt'} exists; or correct"
        " --data-root"
    )


def _download(root: Path) -> None:
    """Fetch and unpack the official archive; the folder appears whole or not at all."""
    from torchvision.datasets.utils import download_and_extract_archive

    unpacked = root / f".{FOLDER}.new"
    try:
        root.mkdir(parents=True, exist_ok=True)
        download_and_extract_archive(URL, str(root), str(unpacked), md5=MD5)
        (unpacked / FOLDER).rename(root / FOLDER)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{root / FOLDER}: missing, and the download failed ({error}); {_by_hand(root)}"
        ) from None
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
