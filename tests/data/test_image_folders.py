"""Folders of images as people have them: what is attacked, what belongs to a class, at what size, and what
is said of it."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adapters.images import ImageSet
from bench import data
from bench.data import DataSpec, Places
from bench.data.pictures import read_image
from bench.errors import UserError
from tests.data.test_data import WNIDS, tiny, write_image, write_tiny

SIZE = (16, 16)


def fill(folder: Path, **counts: int) -> Path:
    """``folder`` with one folder per class of so many images, each of a colour of its own; "a__b" is the
    folder b in a."""
    for name, count in counts.items():
        for i in range(count):
            number = sum(1 for _ in folder.parent.rglob("*.png"))
            write_image(
                folder / name.replace("__", "/") / f"{i}.png", (number % 256, number // 256, len(name)), SIZE
            )
    return folder


def load(
    root: Path, split: data.Split = "test", *, trained: bool = False, cache: bool = False, **options: Any
) -> ImageSet:
    spec = DataSpec.model_validate({"source": "imagefolder", "path": "mine", **options})
    return data.load(spec, split, Places(root, root / "cache" if cache else None), trained=trained)


def notes(found: ImageSet) -> str:
    return "\n".join(found.facts.notes)


# Parts
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "attacked"),
    [
        ("train", "test"), ("Training", "Testing"), ("TRAIN", "VAL"), ("Train", "valid"),
        ("training", "validation"), ("training_set", "test_set"), ("train-data", "Val"), ("train", "dev"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("trained", [False, True])
def test_parts_are_found_in_any_usual_spelling(
    train: str, attacked: str, trained: bool, tmp_path: Path
) -> None:
    fill(tmp_path / "mine" / train, a=3, b=4)
    fill(tmp_path / "mine" / attacked, a=2, b=3)
    test = load(tmp_path, trained=trained)
    assert (len(test), test.facts.available, test.classes) == (5, 5, ("a", "b"))
    assert all(name.startswith(f"mine/{attacked}/") for name in test.ids)
    for split in ("train", "all"):
        assert {name.split("/")[1] for name in load(tmp_path, split, trained=True).ids} == {train}
    assert test.facts.notes == ()


def test_of_test_and_val_the_first_is_attacked_and_said(tmp_path: Path) -> None:
    for part in ("train", "Test", "valid"):
        fill(tmp_path / "mine" / part, a=2, b=2)
    (tmp_path / "mine" / "valid" / "c").mkdir()  # no matter: it is not read
    found = load(tmp_path)
    assert {name.split("/")[1] for name in found.ids} == {"Test"}
    assert found.facts.notes == ("mine has both Test/ and valid/: Test/ is attacked",)


@pytest.mark.parametrize("part", ["val", "Testing", "test"])
def test_a_lone_part_is_attacked_whole(part: str, tmp_path: Path) -> None:
    fill(tmp_path / "mine" / part, a=5, b=6)
    assert len(load(tmp_path)) == 11
    with pytest.raises(
        UserError, match=rf"mine: there is nothing to train on: looked for train/ .* found {part}/; .*half"
    ):
        load(tmp_path, "train", trained=True)


@pytest.mark.parametrize("path", ["mine", "mine/val"])
def test_class_folders_alone_are_halved_only_to_be_trained_on(path: str, tmp_path: Path) -> None:
    fill(tmp_path / path, a=5, b=6)
    whole = load(tmp_path, path=path)
    assert (len(whole), whole.facts.available) == (11, 11)
    assert "all of its images may be attacked" in notes(whole)
    test, train = (load(tmp_path, split, trained=True, path=path) for split in ("test", "train"))
    assert (len(test), len(train)) == (6, 5)
    assert set(test.ids) | set(train.ids) == set(whole.ids)
    assert test.facts.notes == (
        f"{Path(path).name} has no parts: 6 of its 11 images may be attacked, the others are trained on",
    )


def test_the_digits_are_halved_whatever_is_done_with_them() -> None:
    spec = DataSpec(classes=(0, 1))
    assert data.load(spec, "test", trained=False).ids == data.load(spec, "test").ids


def test_one_class_may_be_called_train(tmp_path: Path) -> None:
    fill(tmp_path / "mine", bus=2, car=2, train=3, test=1)
    found = load(tmp_path)
    assert found.classes == ("bus", "car", "test", "train")
    np.testing.assert_array_equal(np.bincount(found.labels), [2, 2, 1, 3])


@pytest.mark.parametrize("unlabelled", ["test__images", "test__unknown", "Testing__a__b", "test"])
def test_a_part_without_class_folders_is_left_out_and_named(unlabelled: str, tmp_path: Path) -> None:
    fill(tmp_path / "mine" / "train", a=2, b=2)
    fill(tmp_path / "mine" / "val", a=3, b=3)
    fill(tmp_path / "mine", **{unlabelled: 4})
    found = load(tmp_path)
    assert {name.split("/")[1] for name in found.ids} == {"val"}
    said = (
        f"mine/{unlabelled.split('__')[0]} is left out: it holds loose images, or fewer than two class"
        " folders"
    )
    assert found.facts.notes == (said,)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (
            {"train__a": 2, "train__b": 2},
            r"mine: there is nothing to attack: looked for test/, .*val/, .*found train/; add it",
        ),
        (
            {"test__a": 1, "test__b": 1, "Test__a": 1, "Test__b": 1},
            r"mine: holds both (Test/ and test|test/ and Test)/; leave",
        ),
        (
            {"val__a": 1, "val__b": 1, "valid__a": 1, "valid__b": 1},
            r"mine: holds both val/ and valid/; leave",
        ),
        (
            {"x__train__a": 1, "x__train__b": 1, "y__a": 1},
            r"mine/x: holds train/, so it is a data set, not a class",
        ),
        (
            {"train__a": 1, "test__a": 1},
            r"mine: holds no class folders; put the images there, one folder per class",
        ),
        ({"a": 1}, r"mine: holds one class folder only, a/"),
        (
            {"train__a": 1, "train__b": 1, "train__c": 1, "test__b": 1, "test__c": 1},
            r"mine/test: has no class folder a;",
        ),
        (
            {"train__b": 1, "train__c": 1, "test__a": 1, "test__b": 1, "test__c": 1},
            r"mine/train: has no class folder a;",
        ),
        (
            {"images__a": 1, "images__b": 1},
            r"one class folder only, images/; there are folders in .*mine/images: if these are",
        ),
        (
            {"train__x__a": 1, "train__x__b": 1, "val__x__a": 1, "val__x__b": 1},
            r"in .*/mine/\w+/x and .*/mine/\w+/x: if",
        ),
    ],
    ids=[
        "train only", "twice", "two spellings", "a set in a folder", "one class in parts", "one class",
        "less", "more", "deeper", "parts deeper",
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_refused(counts: dict[str, int], message: str, tmp_path: Path) -> None:
    fill(tmp_path / "mine", **counts)
    with pytest.raises(UserError, match=message):
        load(tmp_path)


@pytest.mark.parametrize("make", [lambda _: None, Path.mkdir, Path.touch], ids=["missing", "empty", "a file"])
def test_a_folder_that_is_none_is_named(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "mine")
    with pytest.raises(
        UserError, match=r"mine: (no such folder|holds no class folders); put the images there.*--data-root"
    ):
        load(tmp_path)


def test_folders_of_classes_with_parts_are_read_as_one_and_said(tmp_path: Path) -> None:
    fill(tmp_path / "mine", a__train=2, a__test=1, b__train=2, b__test=1)
    found = load(tmp_path)
    assert (len(found), found.classes) == (6, ("a", "b"))
    assert "the class folders of mine hold test, train: all of them are read, as one" in found.facts.notes


# Classes
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{"classes": ["b", "a"]}, {"exclude": ["__MACOSX"]}, {"exclude": ["__MACOSX", "c"]}]
)
@pytest.mark.parametrize("parts", [("train", "test"), ("",)])
def test_what_is_left_out_does_no_harm(
    options: dict[str, Any], parts: tuple[str, ...], tmp_path: Path
) -> None:
    for part in parts:
        fill(
            tmp_path / "mine" / part, a=2, b=3, **({} if "c" not in options.get("exclude", []) else {"c": 1})
        )
        (tmp_path / "mine" / part / "__MACOSX").mkdir()
    found = load(tmp_path, **options)
    assert found.classes == tuple(options.get("classes", ["a", "b"]))
    assert sorted(np.bincount(found.labels)) == [2, 3]


def test_a_class_that_one_part_lacks_does_no_harm_where_the_classes_are_listed(tmp_path: Path) -> None:
    fill(tmp_path / "mine" / "train", a=2, b=2)
    fill(tmp_path / "mine" / "test", a=1, b=1, extra=1)
    assert load(tmp_path, classes=["b", "a"]).classes == ("b", "a")
    assert load(tmp_path, exclude=["extra"]).classes == ("a", "b")


def test_an_empty_class_is_named_with_the_fix(tmp_path: Path) -> None:
    (fill(tmp_path / "mine", a=1, b=1) / "c").mkdir()
    with pytest.raises(
        UserError, match=r"mine/c: no images here or in folders below \(looked for .bmp, .*\); .*exclude"
    ):
        load(tmp_path)


@pytest.mark.parametrize("name", ["{}", "class_{}", "c{}-x"])
def test_numbered_folders_stand_as_text_and_it_is_said(name: str, tmp_path: Path) -> None:
    names = [name.format(i) for i in range(12)]
    fill(tmp_path / "mine", **dict.fromkeys(names, 1))
    found = load(tmp_path)
    assert found.classes == tuple(sorted(names))
    said = (
        f"class folders are numbered; label 2 is '{name.format(10)}': textual order, as ImageFolder has it; "
    )
    listed = ", ".join(f'"{name}"' for name in names)
    assert f"{said}give classes: [{listed}] for number order" in found.facts.notes
    for quiet in (load(tmp_path, classes=names), load(tmp_path, exclude=names[10:])):
        assert "number" not in notes(quiet)


@pytest.mark.parametrize("names", [["2x1", "10x1"], ["a2", "b10"], ["cat", "2", "10"], ["02", "10"]])
def test_of_other_names_no_order_is_said(names: list[str], tmp_path: Path) -> None:
    fill(tmp_path / "mine", **dict.fromkeys(names, 1))
    assert "number" not in notes(load(tmp_path))


@pytest.mark.parametrize(
    ("name", "kind"),
    [(False, "booleans"), (1.5, r"1.5 \(float\)"), (None, r"None \(NoneType\)"), ({"a": 1}, r"\(dict\)")],
)
@pytest.mark.parametrize("key", ["classes", "exclude"])
def test_names_that_yaml_takes_for_something_else_are_to_be_quoted(name: object, kind: str, key: str) -> None:
    with pytest.raises(
        ValueError, match=rf"YAML reads as .*{kind}.* without quotes; quote them, like \['no', 'yes'\]"
    ):
        DataSpec.model_validate({"source": "digits", key: [name, "x"]})


def test_zeros_before_a_number_need_quotes(tmp_path: Path) -> None:
    fill(tmp_path / "mine", **{"001": 1, "002": 1})
    assert load(tmp_path, classes=["001", "002"]).classes == ("001", "002")
    with pytest.raises(
        UserError, match=r"no class '1'; .* a name with leading zeros needs quotes, like '007'"
    ):
        load(tmp_path, classes=[1, 2])


# Files
# ------------------------------------------------------------------------------------------------------------


def test_folders_below_a_class_are_read_as_imagefolder_reads_them(tmp_path: Path) -> None:
    from torchvision.datasets import ImageFolder

    fill(tmp_path / "mine", a=2, a__views=3, a__views__old=2, b=1, b__x=2, c__only__deep=2)
    for name in ("a/notes.txt", "a/views/x.npy", "b/thumbs.db"):
        (tmp_path / "mine" / name).write_text("no image")
    shutil.copy(tmp_path / "mine/a/0.png", tmp_path / "mine/a/UPPER.PNG")
    Image.new("RGB", SIZE).save(tmp_path / "mine/b/x/deep.TIFF")
    (tmp_path / "mine/b/folder.png").mkdir()
    shutil.copy(tmp_path / "mine/a/0.png", tmp_path / "mine/b/folder.png/in.jpg")
    found = load(tmp_path)
    theirs = {
        (str(Path(file).relative_to(tmp_path)), label)
        for file, label in ImageFolder(str(tmp_path / "mine")).samples
    }
    assert set(zip(found.ids, found.labels.tolist(), strict=True)) == theirs
    assert len(found) == len(theirs) == 15


def test_what_tools_leave_behind_is_no_image(tmp_path: Path) -> None:
    fill(tmp_path / "mine", a=2, b=2)
    for name in ("._0.png", ".DS_Store", ".cache/0.png"):
        file = tmp_path / "mine" / "a" / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"left behind")
    (tmp_path / "mine" / ".ipynb_checkpoints").mkdir()
    assert len(load(tmp_path)) == 4


def test_pictures_that_imagefolder_does_not_see_are_left_out_and_said(tmp_path: Path) -> None:
    fill(tmp_path / "mine", a=2, b=2)
    for name in ("a/0.gif", "b/0.GIF", "b/1.heic", "b/.hidden.gif", "b/notes.txt"):
        (tmp_path / "mine" / name).write_bytes(b"")
    found = load(tmp_path)
    assert len(found) == 4
    assert (
        "left out, as ImageFolder leaves them out: 2 .gif, 1 .heic (save them as .png)" in found.facts.notes
    )


def _link(target: str) -> Callable[[Path], None]:
    return lambda file: file.symlink_to(target)


def _socket(file: Path) -> None:
    here = Path.cwd()
    os.chdir(file.parent)  # a socket's path may have no more than 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(file.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_link("gone/away.png"), r"odd.png: a link to gone/away.png, which is missing; restore"),
        (_link("odd.png"), r"odd.png: cannot be read: Too many levels of symbolic links"),
        (os.mkfifo, r"odd.png: not a regular file"),
        (_socket, r"odd.png: not a regular file"),
        (_link("/dev/zero"), r"odd.png: not a regular file"),
        (Path.touch, r"odd.png: not a readable image"),
        (lambda file: file.write_text("<html>404</html>"), r"odd.png: not a readable image"),
    ],
    ids=["broken link", "a link to itself", "a pipe", "a socket", "a device", "empty", "a web page"],
)
@pytest.mark.parametrize("cache", [False, True])
def test_a_file_that_is_no_image_is_named(
    make: Callable[[Path], None], message: str, cache: bool, tmp_path: Path
) -> None:
    make(fill(tmp_path / "mine", a=1, b=1) / "a" / "odd.png")
    with pytest.raises(UserError, match=rf"^{tmp_path}/mine/a/{message}"):
        load(tmp_path, cache=cache)


@pytest.mark.parametrize("target", [".", "..", "../../mine", "../b/deeper", "views"])
def test_links_that_lead_in_a_circle_are_named(target: str, tmp_path: Path) -> None:
    folder = fill(tmp_path / "mine", a=1, a__views=1, b=1, b__deeper=1)
    (folder / "b/deeper/back").symlink_to("../../a")
    (folder / "a" / "link").symlink_to(target)
    with pytest.raises(
        UserError, match=r"mine/[ab]/.*: leads to .*mine/[ab].*, which is read already; remove this link"
    ):
        load(tmp_path)


def test_a_link_to_a_folder_elsewhere_is_followed(tmp_path: Path) -> None:
    fill(tmp_path / "mine", a=1, b=1)
    (tmp_path / "mine" / "c").symlink_to(fill(tmp_path / "store", c=3) / "c")
    assert load(tmp_path).classes == ("a", "b", "c")
    assert len(load(tmp_path)) == 5


@pytest.mark.parametrize("place", [b"a/gr\xfcn.png", b"gr\xfcn/0.png"])
def test_a_name_that_is_no_text_is_named(place: bytes, tmp_path: Path) -> None:
    folder = fill(tmp_path / "mine", a=1, b=1)
    odd = Path(os.fsdecode(os.fsencode(folder) + b"/" + place))
    odd.parent.mkdir(exist_ok=True)
    shutil.copy(folder / "b" / "0.png", odd)
    with pytest.raises(UserError, match=r"gr\\xfcn(.png)?: its name is not UTF-8.*; rename it") as caught:
        load(tmp_path)
    str(caught.value).encode()


# Size
# ------------------------------------------------------------------------------------------------------------


def sized(root: Path, *sizes: tuple[int, int]) -> None:
    for i, size in enumerate(sizes):
        for name in ("a", "b"):
            write_image(root / "mine" / name / f"{i}.png", (i, 0, 0), size)


@pytest.mark.parametrize(
    ("sizes", "options", "side", "native", "cropped"),
    [
        ([(32, 32)] * 2, {}, 32, (32, 32), False),
        ([(48, 32), (32, 40)], {}, 32, (32, 32), True),
        ([(512, 512)], {}, 512, (512, 512), False),
        ([(32, 32), (40, 40)], {}, 224, (32, 40), False),
        ([(32, 32), (300, 300)], {}, 224, (32, 300), False),
        ([(4, 4)], {}, 224, (4, 4), False),
        ([(600, 600)], {}, 224, (600, 600), False),
        ([(32, 32)], {"size": 224}, 224, (32, 32), False),
        ([(32, 32)], {"size": 16}, 16, (32, 32), False),
        ([(32, 32)], {"crop_pct": 0.5}, 32, (32, 32), True),
    ],
)
@pytest.mark.parametrize("cache", [False, True])
def test_the_size_is_that_of_the_images_where_they_agree(
    sizes: list[tuple[int, int]], options: dict[str, Any], side: int, native: tuple[int, int], cropped: bool,
    cache: bool, tmp_path: Path,
) -> None:  # fmt: skip
    sized(tmp_path, *sizes)
    for _ in range(1 + cache):  # decoded, and out of the cache
        found = load(tmp_path, cache=cache, **options)
        assert found.input_shape == (3, side, side)
        assert (found.facts.native, found.facts.cropped) == (native, cropped)


def test_every_source_says_what_its_images_were(tmp_path: Path) -> None:
    digits = data.load(DataSpec(samples=20), "test").facts
    assert (digits.native, digits.cropped, digits.available, digits.notes) == ((8, 8), False, 901, ())
    photos = data.load(DataSpec(source="imagenet-samples"), "test").facts
    assert (photos.native, photos.cropped, photos.available, photos.notes) == ((512, 683), True, 20, ())
    write_tiny(tmp_path / "tiny-imagenet-200")
    small = data.load(tiny(samples=2), "test", Places(tmp_path)).facts
    assert (small.native, small.cropped, small.available, small.notes) == ((64, 64), False, 9, ())


# Samples
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "n", "said"),
    [
        ({"samples": 4}, 4, None),
        ({"samples": 8}, 8, "samples: 8 asked for, some classes have fewer than 4: 2 of a, 8 of b"),
        ({"samples": 9}, 9, "samples: 9 asked for, some classes have fewer than 4: 2 of a, 8 of b"),
        ({"samples": 5000}, 10, "samples: 5000 asked for, 10 are there: 2 of a, 8 of b"),
        ({"samples_per_class": 2}, 4, None),
        (
            {"samples_per_class": 3},
            5,
            "samples_per_class: 3 asked for, some classes have fewer than 3: 2 of a, 8 of b",
        ),
    ],
)
def test_samples_beyond_what_there_is_are_said(
    options: dict[str, Any], n: int, said: str | None, tmp_path: Path
) -> None:
    fill(tmp_path / "mine" / "test", a=2, b=8)
    found = load(tmp_path, **options)
    assert (len(found), found.facts.available) == (n, 10)
    assert found.facts.notes == ((said,) if said else ())


# Tiny-ImageNet
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("within", ["", "images"])
@pytest.mark.parametrize("leftover", ["nothing", "the list", "the list and an empty folder"])
def test_tiny_imagenet_with_val_sorted_by_class(within: str, leftover: str, tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "tiny-imagenet-200")
    official = data.load(tiny(), "test", Places(tmp_path))
    for i in range(9):
        target = folder / "val" / WNIDS[i % 3] / within
        target.mkdir(parents=True, exist_ok=True)
        (folder / "val" / "images" / f"val_{i}.png").rename(target / f"val_{i}.png")
    if leftover != "the list and an empty folder":
        (folder / "val" / "images").rmdir()
    if leftover == "nothing":
        (folder / "val" / "val_annotations.txt").unlink()
    found = data.load(tiny(), "test", Places(tmp_path))
    assert found.classes == official.classes == WNIDS
    assert labels_by_name(found) == labels_by_name(official)
    assert found.facts.notes == (
        "tiny-imagenet-200/val is sorted into class folders, which are taken as its labels",
    )


def test_of_tiny_imagenet_only_the_chosen_classes_are_read(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "tiny-imagenet-200")
    shutil.rmtree(folder / "train" / "n01")
    for options in ({"exclude": ["n01"]}, {"classes": ["n03", "n02"]}):
        assert data.load(tiny(**options), "train", Places(tmp_path)).classes == ("n03", "n02")
    with pytest.raises(UserError, match=r"train/n01: no images here or in folders below"):
        data.load(tiny(), "train", Places(tmp_path))


def labels_by_name(found: ImageSet) -> dict[str, int]:
    return {Path(name).name: label for name, label in zip(found.ids, found.labels.tolist(), strict=True)}


def test_tiny_imagenet_as_it_comes_is_no_imagefolder(tmp_path: Path) -> None:
    write_tiny(tmp_path / "mine")
    write_image(tmp_path / "mine" / "test" / "images" / "test_0.png", (0, 0, 0))
    with pytest.raises(UserError, match=r"mine: Tiny-ImageNet in its official layout.*source: tiny-imagenet"):
        load(tmp_path)
    assert load(tmp_path, "all", trained=True).classes == tuple(
        sorted(WNIDS)
    )  # training images lie in class folders


# The cache
# ------------------------------------------------------------------------------------------------------------


def test_decoded_pixels_go_by_content(tmp_path: Path) -> None:
    """A file that is rewritten with as many bytes and its old times is another one; one that is only
    touched is the same."""
    folder = fill(tmp_path / "mine", a=2, b=2)
    file = (folder / "a" / "0.png").rename(folder / "a" / "0.bmp")
    for colour in ((1, 2, 3), (3, 2, 1)):
        Image.new("RGB", SIZE, colour).save(file)
        os.utime(file, ns=(10**18, 10**18))
        np.testing.assert_array_equal(load(tmp_path, cache=True).images[0, :, 0, 0], colour)
    kept = len(list((tmp_path / "cache").glob("*/pixels.safetensors")))
    os.utime(file)
    folder.rename(tmp_path / "moved")
    assert len(load(tmp_path, cache=True, path="moved")) == 4
    assert len(list((tmp_path / "cache").glob("*/pixels.safetensors"))) == kept == 2


def test_the_way_to_a_size_is_part_of_the_cache(tmp_path: Path) -> None:
    sized(tmp_path, (40, 32))
    ways: list[dict[str, Any]] = [
        {},
        {"size": 32},
        {"size": 24},
        {"crop_pct": 0.9},
        {"crop_pct": 0.901},
        {"interpolation": "box"},
    ]
    for way in ways:
        cached, fresh = (load(tmp_path, cache=cache, **way) for cache in (True, False))
        assert cached.content_hash == fresh.content_hash


def test_files_that_change_while_they_are_read_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = fill(tmp_path / "mine", a=1, b=1) / "b" / "0.png"

    def overwrite(chosen: Path) -> Image.Image:
        write_image(file, (9, 9, 9), SIZE)
        return read_image(chosen)

    monkeypatch.setattr("bench.data.folder.read_image", overwrite)
    with pytest.raises(UserError, match="the images changed while they were read"):
        load(tmp_path, cache=True)
    assert not list((tmp_path / "cache").glob("*/pixels.safetensors"))
