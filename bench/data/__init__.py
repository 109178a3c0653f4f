"""Data declarations -> ImageSet."""

from collections.abc import Callable

import numpy as np

from adapters.images import ImageSet
from bench.data.choose import Index, at_most_per_class, balanced, each, halves, pick_classes
from bench.data.cifar import open_cifar
from bench.data.decoded import Fit, decode
from bench.data.digits import open_digits
from bench.data.folder import open_folder
from bench.data.imagenet_samples import open_imagenet_samples
from bench.data.raw import NOWHERE, Places, RawSet
from bench.data.spec import DataSpec, Split
from bench.data.tiny_imagenet import open_tiny_imagenet
from bench.errors import UserError

__all__ = ["SOURCES", "DataSpec", "Fit", "ImageSet", "Places", "Split", "load"]

SOURCES: dict[str, Callable[[DataSpec, Split, Places], RawSet]] = {
    "digits": open_digits,
    "tiny-imagenet": open_tiny_imagenet,
    "cifar10": open_cifar,
    "cifar100": open_cifar,
    "imagefolder": open_folder,
    "imagenet-samples": open_imagenet_samples,
}


def load(
    spec: DataSpec, split: Split, places: Places = NOWHERE, *, size: int | None = None, fit: Fit | None = None
) -> ImageSet:
    """The images that ``spec`` declares, labelled 0, 1, ... in the order of its classes.

    "all" is every image that may be trained on: a source with a test split of its own never gives it away. ``size`` is the
    side in pixels where ``spec`` has none. ``fit`` says how images are brought to it, in proportion, where ``spec`` does not:
    by default bilinear, and cropped no more than to a square. Raises UserError, with the manual step, where the data are
    missing or broken.
    """
    raw = SOURCES[spec.source](spec, split, places)
    names = pick_classes(raw.classes, spec.classes, spec.exclude)
    index = _choose(raw, names, spec, split)
    number = np.full(len(raw.classes), -1, dtype=np.int64)
    number[[raw.classes.index(name) for name in names]] = np.arange(len(names))
    pixels = decode(raw, index, _fit(spec, spec.size or size or raw.native_size, fit), places.cache)
    return ImageSet(pixels, number[raw.labels[index]], tuple(raw.ids[i] for i in index), tuple(names))


def _fit(spec: DataSpec, size: int, fit: Fit | None) -> Fit:
    found = fit.at(size) if fit else Fit(size, size)
    resize = found.resize if spec.crop_pct is None else int(size / spec.crop_pct)
    return Fit(size, resize, spec.interpolation or found.interpolation)


def _choose(raw: RawSet, names: list[str], spec: DataSpec, split: Split) -> Index:
    """Positions of the samples of the classes ``names`` that belong to ``split``, within the limits of ``spec``."""
    index = np.flatnonzero(np.isin(raw.labels, [raw.classes.index(name) for name in names]))
    if not raw.divided and split != "all":
        for name in names:
            if np.count_nonzero(raw.labels[index] == raw.classes.index(name)) == 1:
                raise UserError(
                    f"data: class '{name}' has one image only, which cannot be both trained and tested on; add others"
                )
        train, test = halves(raw.labels[index], seed=spec.seed)
        index = index[train if split == "train" else test]
    if split == "test":
        return index[_attacked(raw.labels[index], spec)]
    if spec.train_per_class:
        return index[at_most_per_class(raw.labels[index], spec.train_per_class, seed=spec.seed)]
    return index


def _attacked(labels: Index, spec: DataSpec) -> Index:
    if spec.samples:
        return balanced(labels, spec.samples, seed=spec.seed)
    return each(labels, spec.samples_per_class or len(labels), seed=spec.seed)
