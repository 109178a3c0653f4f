"""Images in folders: one folder per class."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adapters.errors import about
from bench.data.choose import pick_classes
from bench.data.layout import Parts, find_parts, images_in, listing, part_named, pictures_not_read
from bench.data.pictures import digest_of, read_image, shown
from bench.data.raw import Division, Places, RawSet
from bench.data.spec import DataSpec, Split
from bench.errors import UserError

NUMBERED = re.compile(r"(\D*)(\d+)(\D*)")
LISTED = 40
"""Classes of which the whole order is said."""
Labelled = tuple[Path, str]
"""An image file and the name of its class."""


@about("path")
def open_folder(spec: DataSpec, split: Split, places: Places) -> RawSet:
    """``spec.path`` under the data root: train/ and test/ (or val/) of class folders, or these alone."""
    assert spec.path is not None  # noqa: S101 (DataSpec checks it)
    folder = places.root / spec.path
    if (
        (folder / "val" / "val_annotations.txt").is_file()
        and split == "test"
        and "val" not in find_parts(folder).of
    ):
        raise UserError(
            f"{folder}: Tiny-ImageNet in its official layout, whose test labels are in"
            " val/val_annotations.txt; use source: tiny-imagenet (without path), with this folder as"
            " tiny-imagenet-200 under the data root"
        )
    return class_folders(folder, split, spec, native_size=None)


def class_folders(folder: Path, split: Split, spec: DataSpec, *, native_size: int | None) -> RawSet:
    """The images of a part of ``folder``, or of ``folder`` itself where it has no parts.

    Each class is in its own folder. Only the folders of the classes that ``spec`` takes are read. Raises
    UserError where there is nothing to read, or where the parts do not hold the same classes: their labels
    would not mean the same.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such folder; put the images there, one folder per class, or correct --data-root"
        )
    parts = find_parts(folder)
    part, notes = _part(folder, parts, split)
    compared = list(dict.fromkeys([part, parts.of.get("train", part)]))
    classes = sorted({entry.name for place in compared for entry in _classes_in(place, parts)})
    if len(classes) < 2:
        what = f"one class folder only, {classes[0]}/" if classes else "no class folders"
        fix = (
            _deeper(part, classes, parts)
            or "put the images there, one folder per class, or correct path or --data-root"
        )
        raise UserError(f"{part}: holds {what}; {fix}")
    chosen = pick_classes(classes, spec.classes, spec.exclude)
    _check_same([part] if isinstance(spec.classes, tuple) else compared, chosen)
    files = [(file, name) for name in classes if name in chosen for file in images_in(part / name)]
    division: Division = "own" if parts.of else "none"
    notes += _about_numbers(chosen, spec) + _about_splits(part, files) + _about_suffixes(part, chosen)
    return from_files(folder, files, classes, native_size=native_size, division=division, notes=notes)


def _part(folder: Path, parts: Parts, split: Split) -> tuple[Path, tuple[str, ...]]:
    """Where the images of ``split`` lie, and what there is to say of the choice."""
    few = "loose images, or fewer than two class folders"
    notes = tuple(f"{folder.name}/{place.name} is left out: it holds {few}" for place in parts.unlabelled)
    if not parts.of:
        return folder, notes
    labelled = [f"{place.name}/" for place in parts.of.values()]
    found = ", ".join([*labelled, *(f"{place.name}/ with {few}" for place in parts.unlabelled)])
    if split != "test":
        if "train" not in parts.of:
            raise UserError(
                f"{folder}: there is nothing to train on: looked for train/ or training/, found {found}; add"
                " it, or name one of these in path, to train on a half of it"
            )
        return parts.of["train"], ()
    part = parts.of.get("test") or parts.of.get("val")
    if part is None:
        raise UserError(
            f"{folder}: there is nothing to attack: looked for test/, testing/, val/, valid/ or validation/"
            f" of class folders, found {found}; add it, or name one of these in path"
        )
    if "val" in parts.of and part != parts.of["val"]:
        notes += (
            f"{folder.name} has both {part.name}/ and {parts.of['val'].name}/: {part.name}/ is attacked",
        )
    return part, notes


def _deeper(part: Path, classes: Sequence[str], parts: Parts) -> str:
    """Where the class folders are, if they lie one level further down; else nothing."""
    entries = [part / name for name in classes] or list(parts.unlabelled)
    inner = [
        folder for entry in entries for folder in (entry, *listing(entry)[0]) if len(listing(folder)[0]) > 1
    ]
    return (
        f"there are folders in {' and '.join(map(shown, inner))}: if these are the classes, name it in path"
        if inner
        else ""
    )


def _classes_in(place: Path, parts: Parts) -> list[Path]:
    """The class folders in ``place``. Raises UserError for one that is a whole data set."""
    found = [entry for entry in listing(place)[0] if entry not in parts.unlabelled]
    if not parts.of:
        for entry in found:
            if inner := find_parts(entry).of:
                names = " and ".join(f"{part.name}/" for part in inner.values())
                raise UserError(
                    f"{shown(entry)}: holds {names}, so it is a data set, not a class; name it in path"
                )
    return found


def _check_same(compared: Sequence[Path], chosen: Sequence[str]) -> None:
    """Raise UserError if one of the parts ``compared`` lacks a class folder.

    Their labels would not mean the same. Only what is attacked counts where the suite itself lists the
    classes: their order is then the same in every part.
    """
    for place in compared:
        if lacking := [name for name in chosen if not (place / name).is_dir()]:
            names = ", ".join(lacking[:10]) + (f" and {len(lacking) - 10} more" if len(lacking) > 10 else "")
            raise UserError(
                f"{place}: has no class folder {names}; labels would not mean the same in every part: add it,"
                " or leave it out (classes, exclude)"
            )


def _about_numbers(chosen: Sequence[str], spec: DataSpec) -> tuple[str, ...]:
    """What to say where folders that differ by a number stand in text order, and nobody asked for it."""
    found = [NUMBERED.fullmatch(name) for name in chosen]
    if isinstance(spec.classes, tuple) or not all(found) or len({(m[1], m[3]) for m in found if m}) > 1:
        return ()
    by_number = sorted(chosen, key=lambda name: int(NUMBERED.sub(r"\2", name)))
    first = next(
        (i for i, (name, other) in enumerate(zip(chosen, by_number, strict=True)) if name != other), None
    )
    if first is None:
        return ()
    order = json.dumps(by_number, ensure_ascii=False) if len(by_number) <= LISTED else "[...]"
    return (
        (
            f"class folders are numbered; label {first} is '{chosen[first]}': textual order, as ImageFolder"
            f" has it; give classes: {order} for number order"
        ),
    )


def _about_splits(part: Path, files: Sequence[Labelled]) -> tuple[str, ...]:
    """What to say where classes hold folders called train or test, whose images are read as one."""
    below = {file.relative_to(part / name).parts[0] for file, name in files if file.parent != part / name}
    named = sorted(name for name in below if part_named(name))
    return (
        (f"the class folders of {part.name} hold {', '.join(named)}: all of them are read, as one",)
        if named
        else ()
    )


def _about_suffixes(part: Path, chosen: Sequence[str]) -> tuple[str, ...]:
    """What to say of pictures that are not read."""
    found = pictures_not_read(part / name for name in chosen)
    listed = ", ".join(f"{count} {suffix}" for suffix, count in sorted(found.items()))
    return (f"left out, as ImageFolder leaves them out: {listed} (save them as .png)",) if found else ()


def from_files(
    folder: Path,
    files: Sequence[Labelled],
    classes: Sequence[str],
    *,
    native_size: int | None,
    division: Division = "own",
    notes: tuple[str, ...] = (),
) -> RawSet:
    """``files`` as a set; ids are their paths from the data set's ``folder``."""
    number = {name: i for i, name in enumerate(classes)}
    return RawSet(
        classes=tuple(classes),
        labels=np.array([number[name] for _, name in files], dtype=np.int64),
        ids=tuple(f"{folder.name}/{file.relative_to(folder).as_posix()}" for file, _ in files),
        image=lambda i: read_image(files[i][0]),
        native_size=native_size,
        digest=lambda i: digest_of(files[i][0]),
        division=division,
        notes=notes,
    )
