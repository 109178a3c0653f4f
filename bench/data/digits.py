"""The embedded data set: scikit-learn's handwritten digits (UCI, Alpaydin & Kaynak 1998), scaled up to RGB."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from adapters.images import ImageSet
from bench.data.choose import balanced, halves
from bench.data.spec import DataSpec, Split


def load_digits_set(spec: DataSpec, split: Split) -> ImageSet:
    """The digits of ``spec.classes``, relabelled 0, 1, ...; each class is halved at random into train and test."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    target: npt.NDArray[np.int64] = digits.target
    chosen = np.flatnonzero(np.isin(target, spec.classes))
    if split != "all":
        train, test = halves(target[chosen], seed=spec.seed)
        chosen = chosen[train if split == "train" else test]
    if split == "test" and spec.samples is not None:
        chosen = chosen[balanced(target[chosen], spec.samples)]
    labels = np.array([spec.classes.index(int(c)) for c in target[chosen]], dtype=np.int64)
    images = np.stack([_enlarge(digits.images[i], spec.size) for i in chosen])
    return ImageSet(images, labels, tuple(f"digits/{i:04d}" for i in chosen), tuple(str(c) for c in spec.classes))


def _enlarge(image: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.uint8]:
    """8 x 8 in 0..16 -> uint8 3 x size x size."""
    grey = Image.fromarray(np.round(image * 255 / 16).astype(np.uint8))
    pixels = np.asarray(grey.resize((size, size), Image.Resampling.BILINEAR))
    return np.repeat(pixels[None], 3, axis=0)
