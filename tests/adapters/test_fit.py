"""How images become square: exactly as torchvision's own Resize and CenterCrop have it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from bench import data
from bench.data import Fit
from bench.data.decoded import fit as fitted
from bench.data.spec import DataSpec

RNG = np.random.default_rng(0)
SHAPES = [(32, 32), (50, 31), (31, 50), (67, 45), (45, 128)]
"""Height and width."""


def picture(shape: tuple[int, int]) -> Image.Image:
    """Noise, in which every pixel tells."""
    return Image.fromarray(RNG.integers(0, 256, (*shape, 3), dtype=np.uint8))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "fit", [Fit(32, 32), Fit(24, 28, "bicubic"), Fit(28, 33), Fit(64, 73, "nearest"), Fit(31, 32)]
)
def test_a_fit_is_torchvisions(shape: tuple[int, int], fit: Fit) -> None:
    image = picture(shape)
    transform = Compose([Resize(fit.resize, InterpolationMode(fit.interpolation)), CenterCrop(fit.size)])
    assert np.array_equal(np.asarray(fitted(image, fit)), np.asarray(transform(image)))


def test_a_fit_holds_in_proportion() -> None:
    assert Fit(224, 256, "bicubic").at(32) == Fit(32, 37, "bicubic")


@pytest.mark.parametrize(
    ("declared", "fit", "meant"),
    [
        ({}, None, Fit(32, 32)),
        ({}, Fit(224, 256, "bicubic"), Fit(32, 37, "bicubic")),
        ({"interpolation": "nearest"}, Fit(224, 256, "bicubic"), Fit(32, 37, "nearest")),
        ({"crop_pct": 0.5}, Fit(224, 256, "bicubic"), Fit(32, 64, "bicubic")),
        ({"crop_pct": 1.0}, Fit(224, 256), Fit(32, 32)),
    ],
)
def test_what_the_suite_says_goes_before_the_weights(
    tmp_path: Path, declared: dict[str, object], fit: Fit | None, meant: Fit
) -> None:
    image = picture((80, 80))
    for name in ("a", "b"):
        (tmp_path / "f" / name).mkdir(parents=True)
        for i in range(2):
            image.save(tmp_path / "f" / name / f"{i}.png")
    spec = DataSpec.model_validate({"source": "imagefolder", "path": "f", "size": 32, **declared})
    places = data.Places(tmp_path, tmp_path / "cache")
    for _ in range(2):  # decoded, and then as kept
        (first, *_) = data.load(spec, "test", places, fit=fit).images
        assert np.array_equal(first.transpose(1, 2, 0), np.asarray(fitted(image, meant)))
