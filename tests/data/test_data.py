"""Data sources: what is chosen, that it is stable, what a user is told if something is missing or broken."""

import hashlib
import http.server
import os
import pickle
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import data
from bench.data import DataSpec, Fit, Places, tiny_imagenet
from bench.data import decoded as decoding
from bench.data.pictures import read_image
from bench.errors import UserError

WNIDS = ("n03", "n01", "n02")


def write_image(file: Path, colour: tuple[int, int, int], size: tuple[int, int] = (64, 64)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(file)


def write_tiny(folder: Path) -> Path:
    """Three classes in the official layout; image i of class c is the flat colour (40 c, 10 i, 0)."""
    for c, wnid in enumerate(WNIDS):
        for i in range(12):
            write_image(folder / "train" / wnid / "images" / f"{wnid}_{i}.png", (40 * c, 10 * i, 0))
    rows = []
    for i in range(9):
        name, wnid = f"val_{i}.png", WNIDS[i % 3]
        write_image(folder / "val" / "images" / name, (40 * (i % 3), 10 * i, 255))
        rows.append(f"{name}\t{wnid}\t0\t0\t62\t62")
    (folder / "wnids.txt").write_text("\n".join(WNIDS))
    (folder / "val" / "val_annotations.txt").write_text("\n".join(rows))
    return folder


@pytest.fixture
def places(tmp_path: Path) -> Places:
    write_tiny(tmp_path / tiny_imagenet.FOLDER)
    return Places(tmp_path, tmp_path / "decoded")


def tiny(**options: object) -> DataSpec:
    return DataSpec.model_validate({"source": "tiny-imagenet", **options})


def test_digits_are_the_same_as_ever() -> None:
    spec = DataSpec(classes=(1, 3, 5, 7, 9), samples=160)
    found = data.load(spec, "test")
    assert found.content_hash == "91cc7a2c5367c186bfac7c9088a817898c85919f04c2ffcc6a7be8bf05cb1fe9"


def test_tiny_imagenet_is_read_from_its_official_layout(places: Places) -> None:
    train = data.load(tiny(classes=["n02", "n03"]), "train", places)
    assert (len(train), train.classes, train.input_shape) == (24, ("n02", "n03"), (3, 64, 64))
    # n03 comes first in wnids.txt, and file 10 after file 9
    assert train.ids[:2] == (
        "tiny-imagenet-200/train/n03/images/n03_0.png",
        "tiny-imagenet-200/train/n03/images/n03_1.png",
    )
    np.testing.assert_array_equal(train.labels, [1] * 12 + [0] * 12)
    np.testing.assert_array_equal(train.images[11, :, 0, 0], [0, 110, 0])
    np.testing.assert_array_equal(train.images[12, :, 5, 5], [80, 0, 0])


def test_the_validation_images_are_the_test_set_and_never_trained_on(places: Places) -> None:
    test = data.load(tiny(classes=2, samples=5), "test", places)
    assert test.classes == ("n03", "n01")
    assert sorted(test.labels) == [0, 0, 0, 1, 1]
    assert (test.images[:, 2] == 255).all()
    for split in ("train", "all"):
        assert not (data.load(tiny(), split, places).images[:, 2] == 255).any()


def test_source_and_target_share_no_class(places: Places) -> None:
    source = data.load(tiny(exclude=["n01"]), "all", places)
    assert source.classes == ("n03", "n02")
    assert not any("n01" in name for name in source.ids)


def test_train_per_class_draws_by_seed(places: Places) -> None:
    first = data.load(tiny(train_per_class=4), "train", places)
    again = data.load(tiny(train_per_class=4), "train", places)
    other = data.load(tiny(train_per_class=4, seed=1), "train", places)
    np.testing.assert_array_equal(np.bincount(first.labels), [4, 4, 4])
    assert first.ids == again.ids != other.ids


def test_the_seed_draws_the_test_samples_too(places: Places) -> None:
    first, other = (data.load(tiny(samples_per_class=1, seed=seed), "test", places) for seed in (0, 3))
    np.testing.assert_array_equal(first.labels, [0, 1, 2])
    assert first.ids == tuple(f"tiny-imagenet-200/val/images/val_{i}.png" for i in range(3))
    assert sorted(other.labels) == [0, 1, 2]
    assert other.ids == data.load(tiny(samples=3, seed=3), "test", places).ids != first.ids
    with pytest.raises(ValueError, match="has both samples and samples_per_class"):
        tiny(samples=3, samples_per_class=1)


def test_images_are_scaled_on_the_short_side_and_cropped() -> None:
    picture = Image.new("RGB", (40, 20))
    picture.paste((255, 0, 0), (10, 0, 30, 20))
    pixels = np.asarray(decoding.fit(picture, Fit(20, 20)))
    assert pixels.shape == (20, 20, 3)
    assert (pixels == (255, 0, 0)).all()


def test_decoded_pixels_are_kept_until_a_file_changes(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = data.load(tiny(size=8), "train", places)
    monkeypatch.setattr("bench.data.decoded.fit", lambda *_: pytest.fail("decoded twice"))
    assert data.load(tiny(size=8), "train", places).content_hash == first.content_hash
    monkeypatch.undo()
    write_image(places.root / tiny_imagenet.FOLDER / "train/n03/images/n03_0.png", (1, 2, 3))
    changed = data.load(tiny(size=8), "train", places)
    np.testing.assert_array_equal(changed.images[0, :, 0, 0], [1, 2, 3])
    assert changed.content_hash != first.content_hash


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:200], lambda data: data[:-1] + bytes([data[-1] ^ 1])],
    ids=["torn", "flipped"],
)
def test_a_damaged_cache_file_is_named_and_decoded_again(
    damage: Callable[[bytes], bytes], places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    first = data.load(tiny(), "train", places)
    assert places.cache is not None
    (kept,) = places.cache.glob("*/pixels.safetensors")
    kept.write_bytes(damage(kept.read_bytes()))
    assert data.load(tiny(), "train", places).content_hash == first.content_hash
    assert "damaged (pixels.safetensors); rebuilt" in caplog.text


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("wnids.txt", r"wnids.txt: missing.*download http://cs231n.*md5 90528d7c.*--data-root"),
        ("val/val_annotations.txt", r"val_annotations.txt: missing.*download http"),
        ("val/images/val_3.png", r"val_3.png: in val_annotations.txt but missing"),
    ],
)
def test_what_is_missing_is_named_with_the_manual_step(places: Places, broken: str, message: str) -> None:
    (places.root / tiny_imagenet.FOLDER / broken).unlink()
    with pytest.raises(UserError, match=message):
        data.load(tiny(), "test", places)


LISTED = "val/val_annotations.txt"


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (
            LISTED,
            lambda text: "\n".join(text.splitlines()[:6]),
            r"val_6.png and 2 more: not in val_annotations.txt; download",
        ),
        (LISTED, lambda _: "", r"val_0.png and 8 more: not in val_annotations.txt; download"),
        (
            LISTED,
            lambda text: text.replace("n01", "n09"),
            r"the line of val_1.png names no class of wnids.txt; download",
        ),
        (
            LISTED,
            lambda text: text.replace("val_3.png\tn03", "val_3.png"),
            r"the line of val_3.png names no class",
        ),
        (LISTED, lambda text: text.replace("n01", "n02"), r"has no image of the class n01; download"),
        ("wnids.txt", lambda _: "", r"wnids.txt: names no class; download"),
    ],
    ids=["cut off", "empty", "unknown class", "no class", "class without images", "no classes"],
)
def test_what_was_cut_off_is_named_with_the_manual_step(
    places: Places, file: str, change: Callable[[str], str], message: str
) -> None:
    broken = places.root / tiny_imagenet.FOLDER / file
    broken.write_text(change(broken.read_text()))
    with pytest.raises(UserError, match=message):
        data.load(tiny(), "test", places)


def test_a_blank_line_among_the_annotations_is_none(places: Places) -> None:
    before = data.load(tiny(), "test", places)
    listed = places.root / tiny_imagenet.FOLDER / LISTED
    listed.write_text(listed.read_text().replace("\n", "\n\n", 1) + "\n\n")
    assert data.load(tiny(), "test", places).content_hash == before.content_hash


def test_sixteen_bits_are_scaled_and_pixels_without_a_range_refused(tmp_path: Path) -> None:
    grey = np.array([[0, 128, 32896, 65535]], dtype=np.uint16)
    for name, picture in (("deep.png", grey), ("real.tiff", grey.astype(np.float32))):
        Image.fromarray(picture).save(tmp_path / name)
    pixels = np.asarray(read_image(tmp_path / "deep.png"))
    np.testing.assert_array_equal(pixels[0], [[0] * 3, [0] * 3, [128] * 3, [255] * 3])
    with pytest.raises(
        UserError, match=r"real.tiff: its pixels \(mode F\) have no fixed range; save it with 8 bits"
    ):
        read_image(tmp_path / "real.tiff")


def test_a_truncated_image_is_named(places: Places) -> None:
    file = places.root / tiny_imagenet.FOLDER / "train/n01/images/n01_7.png"
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(UserError, match=r"n01_7.png: not a readable image"):
        data.load(tiny(), "train", places)


def test_an_unknown_class_is_named(places: Places) -> None:
    with pytest.raises(UserError, match=r"no class 'n04'; did you mean"):
        data.load(tiny(classes=["n04", "n01"]), "train", places)
    with pytest.raises(UserError, match=r"4 asked for, but there are 3"):
        data.load(tiny(classes=4), "train", places)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(address, md5) of an archive in the official layout."""
    folder = tmp_path_factory.mktemp("server")
    made = write_tiny(tmp_path_factory.mktemp("made") / tiny_imagenet.FOLDER)
    archive = folder / "tiny-imagenet-200.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for file in sorted(made.rglob("*.*")):
            opened.write(file, file.relative_to(made.parent))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    checksum = hashlib.md5(archive.read_bytes()).hexdigest()  # noqa: S324
    yield f"http://127.0.0.1:{server.server_port}/{archive.name}", checksum
    server.shutdown()


def test_tiny_imagenet_is_downloaded_and_checked(
    served: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny_imagenet, "URL", served[0])
    with pytest.raises(
        UserError, match="the download failed"
    ):  # the checksum of the real archive does not fit
        data.load(tiny(), "train", Places(tmp_path))
    assert not (tmp_path / tiny_imagenet.FOLDER).exists()
    monkeypatch.setattr(tiny_imagenet, "MD5", served[1])
    assert len(data.load(tiny(), "train", Places(tmp_path))) == 36


def test_without_a_network_the_manual_step_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_imagenet, "URL", "http://127.0.0.1:9/tiny-imagenet-200.zip")
    with pytest.raises(
        UserError, match=r"the download failed .*; download http://127.0.0.1:9/.* and unpack it"
    ):
        data.load(tiny(), "train", Places(tmp_path))


def test_cifar10_as_folders(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("test", 2)):
        for name in ("cat", "airplane"):
            for i in range(count):
                write_image(tmp_path / "cifar10" / split / name / f"{i}.png", (i, i, i), (32, 32))
    spec = DataSpec(source="cifar10")
    assert data.load(spec, "train", Places(tmp_path)).classes == ("airplane", "cat")
    assert data.load(spec, "test", Places(tmp_path)).ids[0] == "cifar10/test/airplane/0.png"


def write_cifar10(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CIFAR-10 as torchvision unpacks it, with two images a batch: batch b holds flat reds of 10 b and 10
    b + 1."""
    from torchvision.datasets import CIFAR10

    folder = root / CIFAR10.base_folder
    folder.mkdir()
    names = [name for name, _ in (*CIFAR10.train_list, *CIFAR10.test_list)]
    for b, name in enumerate(names):
        reds = np.stack([np.r_[np.full(1024, 10 * b + i), np.zeros(2048)] for i in range(2)]).astype(np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": reds, "labels": [b % 2, 1]}))
    words = [*("plane", "car"), *map(str, range(8))]
    (folder / CIFAR10.meta["filename"]).write_bytes(pickle.dumps({"label_names": words}))

    def listed(names: list[str]) -> list[list[str]]:
        return [[name, hashlib.md5((folder / name).read_bytes()).hexdigest()] for name in names]  # noqa: S324

    monkeypatch.setattr(CIFAR10, "train_list", listed(names[:-1]))
    monkeypatch.setattr(CIFAR10, "test_list", listed(names[-1:]))
    meta = {**CIFAR10.meta, "md5": listed([CIFAR10.meta["filename"]])[0][1]}
    monkeypatch.setattr(CIFAR10, "meta", meta)


def test_cifar10_as_torchvision_unpacks_it_is_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar10(tmp_path, monkeypatch)
    spec, places = DataSpec(source="cifar10", size=16), Places(tmp_path, tmp_path / "decoded")
    train, test = (data.load(spec, split, places) for split in ("train", "test"))
    np.testing.assert_array_equal(
        train.images[:, :, 0, 0], [[10 * b + i, 0, 0] for b in range(5) for i in range(2)]
    )
    np.testing.assert_array_equal(train.labels, [0, 1, 1, 1, 0, 1, 1, 1, 0, 1])
    assert (test.ids, test.classes[:2]) == (("cifar10/test/00000", "cifar10/test/00001"), ("plane", "car"))
    monkeypatch.setattr("bench.data.decoded.fit", lambda *_: pytest.fail("decoded twice"))
    assert data.load(spec, "test", places).content_hash == test.content_hash
    os.utime(tmp_path / "cifar-10-batches-py" / "test_batch", (1, 1))
    assert data.load(spec, "test", places).content_hash == test.content_hash  # it is known by its content


def test_an_undivided_folder_is_halved_without_overlap(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for i in range(10):
            write_image(tmp_path / "mine" / name / f"{i}.png", (i, i, i), (16, 16))
    spec = DataSpec(source="imagefolder", path="mine", size=16)
    train, test = (data.load(spec, split, Places(tmp_path)) for split in ("train", "test"))
    assert (len(train), len(test)) == (10, 10)
    assert not set(train.ids) & set(test.ids)


def test_a_class_of_one_image_cannot_be_halved(tmp_path: Path) -> None:
    for name, count in (("a", 3), ("b", 1)):
        (tmp_path / "own" / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (8, 8), (i, i, i)).save(tmp_path / "own" / name / f"{i}.tif")
    with pytest.raises(UserError, match="class 'b' has one image only"):
        data.load(DataSpec(source="imagefolder", path="own"), "train", Places(tmp_path))


def test_folders_whose_parts_hold_other_classes_are_refused_and_hidden_ones_skipped(tmp_path: Path) -> None:
    spec, places = DataSpec(source="imagefolder", path="mine", size=16), Places(tmp_path)
    for place in ("train/a", "train/b", "train/c", "test/b", "test/c"):
        write_image(tmp_path / "mine" / place / "0.png", (0, 0, 0), (16, 16))
    with pytest.raises(UserError, match=r"mine/test: has no class folder a; labels would not mean the same"):
        data.load(spec, "test", places)
    write_image(tmp_path / "mine" / "test" / "a" / "0.png", (0, 0, 0), (16, 16))
    (tmp_path / "mine" / "test" / ".ipynb_checkpoints").mkdir()
    assert (
        data.load(spec, "test", places).classes == data.load(spec, "train", places).classes == ("a", "b", "c")
    )


def test_the_bundled_imagenet_samples() -> None:
    found = data.load(DataSpec(source="imagenet-samples"), "test")
    assert (len(found), len(found.classes), found.input_shape) == (20, 1000, (3, 224, 224))
    assert {found.classes[i] for i in found.labels} >= {"099 goose", "022 bald eagle", "243 bull mastiff"}
    with pytest.raises(UserError, match="no training images"):
        data.load(DataSpec(source="imagenet-samples"), "train")
