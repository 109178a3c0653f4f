"""Data sets of the shipped suites, in the layout that they expect, with next to nothing in them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TARGET = (
    "n02124075", "n04067472", "n04540053", "n04099969", "n07749582", "n01641577", "n02802426", "n09246464",
    "n07920052", "n03970156",
)  # fmt: skip
ANIMALS = ("bird", "cat", "deer", "dog", "frog", "horse")
VEHICLES = ("airplane", "automobile", "ship", "truck")


def write(file: Path, rng: np.random.Generator) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)).save(file)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Tiny-ImageNet of the ten target classes and three more, and CIFAR-10, two images a class and part."""
    rng, wnids = np.random.default_rng(0), [*TARGET, "n00000001", "n00000002", "n00000003"]
    tiny, rows = tmp_path / "data" / "tiny-imagenet-200", []
    for wnid in wnids:
        for i in range(2):
            write(tiny / "train" / wnid / "images" / f"{wnid}_{i}.JPEG", rng)
            write(tiny / "val" / "images" / f"val_{wnid}_{i}.JPEG", rng)
            rows.append(f"val_{wnid}_{i}.JPEG\t{wnid}\t0\t0\t62\t62")
    (tiny / "wnids.txt").write_text("\n".join(wnids))
    (tiny / "val" / "val_annotations.txt").write_text("\n".join(rows))
    for name in (*ANIMALS, *VEHICLES):
        for part in ("train", "test"):
            for i in range(2):
                write(tmp_path / "data" / "cifar10" / part / name / f"{i}.png", rng)
    return tmp_path / "data"
