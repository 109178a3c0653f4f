"""Attacked images that a model is trained on too: found by their pixels, whatever their files are called."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from adapters.images import ImageSet
from bench.cli.commands import main
from bench.data import Places
from bench.data.leaks import about_duplicates, about_training
from bench.engine.job import Job, make_job
from bench.errors import SuiteError, UserError
from bench.suite.suite import Suite
from tests.builders.tiny import TINY

CLASSES = ("a", "b")


def images(
    first: int, count: int, *, name: str = "x", classes: tuple[str, ...] = CLASSES, size: int = 8
) -> ImageSet:
    """Images number ``first`` and on, each of pixels of its own, labelled 0, 1, 0, 1 ..."""
    numbers = np.arange(first, first + count)
    pixels = np.zeros((count, 3, size, size), dtype=np.uint8)
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = numbers % 256, numbers // 256
    return ImageSet(pixels, numbers % len(classes), tuple(f"{name}/{i}" for i in numbers), classes)


def test_images_that_are_trained_on_too_are_counted_or_refused() -> None:
    """Up to a tenth may be, as in real data sets; of 1,000 images 100 are said and 101 are too many."""
    attacked = images(0, 1000, name="test")
    assert about_training(attacked, images(1000, 5000, name="train")) == ()
    assert about_training(attacked, images(900, 500, name="train")) == (
        (
            "100 of 1000 attacked images are also trained on (same pixels), for example test/900 (a) and"
            " train/900 (a)"
        ),
    )
    with pytest.raises(
        UserError, match=r"101 of the 1000 attacked images would be trained on too \(same pixels\), .*/899 "
    ):
        about_training(attacked, images(899, 500, name="train"))
    with pytest.raises(
        UserError, match=r"101 of .* would be pretrained on too .*take other classes here .*\(classes, "
    ):
        about_training(attacked, images(899, 500, name="source"), before=True)


def test_one_common_file_is_refused_whatever_its_share() -> None:
    with pytest.raises(UserError, match=r"1 of the 1000 attacked images would be pretrained on too"):
        about_training(images(0, 1000), images(999, 10), before=True)


def test_another_label_for_the_same_pixels_is_said() -> None:
    trained = images(98, 90, name="train", classes=("b", "a"))
    assert about_training(images(0, 100, name="test"), trained) == (
        (
            "2 of 100 attacked images are also trained on (same pixels), for example test/98 (a) and train/98"
            " (b); 2 of them under another label"
        ),
    )


def test_images_that_are_attacked_twice_are_said() -> None:
    once = images(0, 10)
    assert about_duplicates(once) == ()
    twice = once.take(np.array([0, 1, 2, 3, 0, 2]))
    assert about_duplicates(twice) == (
        "2 of 6 attacked images repeat another one (same pixels), for example x/0 (a) and x/0 (a)",
    )
    odd = ImageSet(twice.images, np.array([0, 1, 0, 1, 0, 1]), twice.ids, CLASSES)
    assert about_duplicates(odd) == (
        (
            "2 of 6 attacked images repeat another one (same pixels), for example x/2 (b) and x/2 (a); 1 of"
            " them under another label, so one of the two must be wrong"
        ),
    )


def photos(count: int, seed: int) -> list[Image.Image]:
    """Pictures of coarse structure, 40 px."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 216, (count, 5, 5, 1)) + rng.integers(0, 40, (count, 5, 5, 3))
    return [
        Image.fromarray(pixels).resize((40, 40), Image.Resampling.BICUBIC)
        for pixels in coarse.astype(np.uint8)
    ]


def of(pictures: list[Image.Image], name: str) -> ImageSet:
    pixels = np.stack([np.asarray(picture).transpose(2, 0, 1) for picture in pictures])
    labels = np.arange(len(pictures)) % 2
    return ImageSet(pixels, labels, tuple(f"{name}/{i}" for i in range(len(pictures))), CLASSES)


def as_jpeg(picture: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=75)
    return Image.open(stream)


def through(size: int) -> Callable[[Image.Image], Image.Image]:
    return lambda picture: picture.resize((size, size)).resize(picture.size, Image.Resampling.BILINEAR)


@pytest.mark.parametrize("copy", [as_jpeg, through(80), through(224), through(36)])
def test_copies_with_other_pixels_are_said(copy: Callable[[Image.Image], Image.Image]) -> None:
    """Three of ten attacked images were saved anew among the 5,000 that are trained on; no other one is
    taken for a copy."""
    attacked, others = photos(10, seed=0), photos(4997, seed=1)
    (said,) = about_training(
        of(attacked, "test"), of([*others, *map(copy, attacked[4:7])], "train"), before=True
    )
    assert said.startswith(
        "3 of 10 attacked images are nearly the same as images that are pretrained on, as copies at another"
    )
    assert said.endswith("for example test/4 (a) and train/4997 (b)")


def test_blank_images_are_nobody_s_copies() -> None:
    blank = [Image.new("RGB", (40, 40), (grey, grey, grey)) for grey in (100, 101)]
    assert about_training(of(blank[:1], "test"), of(blank[1:], "train")) == ()


# Through a suite
# ------------------------------------------------------------------------------------------------------------


def write(folder: Path, first: int, count: int, suffix: str = "png", side: int = 16) -> None:
    """``count`` images of each class in ``folder``, number ``first`` and on."""
    for c, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(first, first + count):
            pixels = np.random.default_rng([c, i]).integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST).save(
                folder / name / f"{i - first}.{suffix}"
            )


def suite(**options: Any) -> Suite:
    mine = {"source": "imagefolder", "path": "mine"}
    return Suite.model_validate({**yaml.safe_load(TINY), "backbone": {}, "data": mine, **options})


def job(root: Path, **options: Any) -> Job:
    return make_job(suite(**options), Places(root))


NONE = [{"name": "m", "adaptation": {"method": "none"}}]


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_a_test_set_that_is_trained_on_is_refused_at_its_line(suffix: str, tmp_path: Path) -> None:
    """Under other names, in another format: the pixels are the same."""
    write(tmp_path / "mine" / "train", 0, 6)
    write(tmp_path / "mine" / "test", 3, 6, suffix)
    with pytest.raises(SuiteError, match=r"6 of the 12 attacked images would be trained on too") as caught:
        job(tmp_path)
    assert caught.value.where == ("data",)
    assert len(job(tmp_path, models=NONE).samples) == 12  # nothing is trained


def test_a_few_duplicates_are_said_beside_the_numbers(tmp_path: Path) -> None:
    write(tmp_path / "mine" / "train", 0, 20)
    write(tmp_path / "mine" / "test", 19, 20)
    made = job(tmp_path)
    assert len(made.samples) == 40
    assert made.samples.facts.notes == (
        (
            "2 of 40 attacked images are also trained on (same pixels), for example mine/test/a/0.png (a) "
            "and mine/train/a/19.png (a)"
        ),
    )


@pytest.mark.parametrize(
    "way",
    [{}, {"size": 8}, {"size": 24}, {"crop_pct": 0.5}, {"size": 12, "crop_pct": 0.5, "interpolation": "box"}],
)
def test_a_backbone_pretrained_on_a_copy_is_refused_at_its_line(way: dict[str, Any], tmp_path: Path) -> None:
    """Whatever the size that it is pretrained at, and however its images are brought to it."""
    write(tmp_path / "mine", 0, 6)
    write(tmp_path / "backup" / "Training", 0, 6, "bmp")
    source = {"source": "imagefolder", "path": "backup", **way}
    backbone = {"pretrain": {"data": source, "training": {"epochs": 1, "augmentation": "none"}}}
    with pytest.raises(
        SuiteError, match=r"12 of the 12 attacked images would be pretrained on too .* backup/Tr"
    ) as caught:
        job(tmp_path, models=NONE, backbone=backbone)
    assert caught.value.where == ("backbone", "pretrain", "data")
    shutil.rmtree(tmp_path / "backup")
    write(tmp_path / "backup" / "Training", 6, 6)
    assert len(job(tmp_path, models=NONE, backbone=backbone).samples) == 12


def test_training_images_come_at_the_size_of_the_attacked_ones(tmp_path: Path) -> None:
    write(tmp_path / "mine" / "train", 0, 3, side=48)
    write(tmp_path / "mine" / "test", 3, 3, side=32)
    made = job(tmp_path)
    assert (
        {recipe.images.input_shape for recipe in made.recipes.values()}
        == {made.samples.input_shape}
        == {(3, 32, 32)}
    )


def test_a_folder_is_attacked_whole_unless_a_model_is_trained(tmp_path: Path) -> None:
    write(tmp_path / "mine", 0, 6)
    assert len(job(tmp_path, models=NONE).samples) == 12
    assert [len(recipe.images) for recipe in job(tmp_path).recipes.values()] == [6, 6]
    assert len(job(tmp_path).samples) == 6


def test_the_default_suite_has_no_duplicates() -> None:
    from bench.suite.suite import find_suite, load_suite

    made = make_job(load_suite(find_suite("fgsm_pgd")))
    assert made.samples.facts.notes == ()


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (
            lambda folder: (folder / "a" / "odd.png").symlink_to("gone.png"),
            "mine/test/a/odd.png: a link to gone.png",
        ),
        (
            lambda folder: (folder / "a" / "odd.png").write_bytes(b"\x89PNG\r\n\x1a\n"),
            "mine/test/a/odd.png: not a readable image",
        ),
        (
            lambda folder: shutil.rmtree(folder / "b"),
            "found train/, test/ with loose images",
        ),
        (lambda folder: (folder / "c").mkdir(), "mine/train: has no class folder c"),
    ],
)
def test_the_command_line_names_the_file_and_the_line(
    spoil: Any, named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "mine" / "train", 0, 2)
    write(tmp_path / "mine" / "test", 2, 2)
    spoil(tmp_path / "mine" / "test")
    file = tmp_path / "suite.yaml"
    file.write_text(
        yaml.safe_dump(suite(models=NONE).model_dump(mode="json", exclude_unset=True), sort_keys=False)
    )
    assert main(["run", str(file), "--data-root", str(tmp_path), "--results", str(tmp_path / "results")]) == 2
    err = capsys.readouterr().err
    assert named in err
    assert f"{file}:" in err
    assert "Traceback" not in err
