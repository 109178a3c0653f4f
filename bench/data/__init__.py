"""Data declarations -> ImageSet."""

from collections.abc import Callable
from functools import partial

import numpy as np

from adapters.images import ImageFacts, ImageSet
from bench.data.choose import Index, at_most_per_class, balanced, each, halves, pick_classes
from bench.data.cifar import open_cifar
from bench.data.decoded import Fit, decode
from bench.data.digits import open_digits
from bench.data.folder import open_folder
from bench.data.imagenet_samples import open_imagenet_samples
from bench.data.in_memory import open_given
from bench.data.notes import about_parts, about_samples
from bench.data.raw import NOWHERE, Places, RawSet
from bench.data.spec import DataSpec, Split
from bench.data.tiny_imagenet import open_tiny_imagenet
from bench.errors import UserError

__all__ = ["SOURCES", "DataSpec", "Fit", "ImageSet", "Places", "Split", "load", "way_to"]

SOURCES: dict[str, Callable[[DataSpec, Split, Places], RawSet]] = {
    "digits": open_digits,
    "tiny-imagenet": open_tiny_imagenet,
    "cifar10": open_cifar,
    "cifar100": open_cifar,
    "imagefolder": open_folder,
    "imagenet-samples": open_imagenet_samples,
    "given": open_given,
}


def load(
    spec: DataSpec,
    split: Split,
    places: Places = NOWHERE,
    *,
    size: int | None = None,
    fit: Fit | None = None,
    trained: bool = True,
) -> ImageSet:
    """The images that ``spec`` declares, labelled 0, 1, ... in the order of its classes.

    "all" is every image that may be trained on: a source with a test split of its own never gives it away.
    ``size`` is the side in pixels where ``spec`` has none. ``fit`` says how images are brought to it, in
    proportion, where ``spec`` does not: by default bilinear, and cropped no more than to a square. Where
    nothing is ``trained`` on the set, one without parts of its own is attacked whole. Raises UserError, with
    the manual step, where the data are missing or broken.
    """
    raw = SOURCES[spec.source](spec, split, places)
    names = pick_classes(raw.classes, spec.classes, spec.exclude)
    number = np.full(len(raw.classes), -1, dtype=np.int64)
    number[[raw.classes.index(name) for name in names]] = np.arange(len(names))
    whole = np.flatnonzero(np.isin(raw.labels, np.flatnonzero(number >= 0)))
    pool = _part(raw, whole, spec, split, trained=trained)
    index = _choose(raw.labels, pool, spec, split)
    how = partial(way_to, spec=spec, fit=fit)
    found = decode(raw, index, spec.size or size or raw.native_size, how, places.cache)
    notes = raw.notes
    if split == "test":
        notes += about_parts(raw, whole, pool, spec) + about_samples(number[raw.labels[pool]], names, spec)
    way = how(found.pixels.shape[-1])
    facts = ImageFacts(found.native, found.cropped, len(pool), notes, (way.resize, way.interpolation))
    return ImageSet(
        found.pixels, number[raw.labels[index]], tuple(raw.ids[i] for i in index), tuple(names), facts
    )


def way_to(size: int, spec: DataSpec, fit: Fit | None) -> Fit:
    """How images become ``size`` pixels: what ``spec`` says, else ``fit`` in proportion."""
    found = fit.at(size) if fit else Fit(size, size)
    resize = found.resize if spec.crop_pct is None else int(size / spec.crop_pct)
    return Fit(size, resize, spec.interpolation or found.interpolation)


def _part(raw: RawSet, whole: Index, spec: DataSpec, split: Split, *, trained: bool) -> Index:
    """Those of the positions ``whole`` that belong to ``split``."""
    if not len(whole):
        raise UserError("data: there is no image of these classes; take others (classes, exclude)")
    if split == "all" or raw.division == "own" or (raw.division == "none" and not trained):
        return whole
    for label in np.unique(raw.labels[whole]):
        if np.count_nonzero(raw.labels[whole] == label) == 1:
            name = raw.classes[label]
            raise UserError(
                f"data: class '{name}' has one image only, which cannot be both trained and tested on; add"
                " others"
            )
    train, test = halves(raw.labels[whole], seed=spec.seed)
    return whole[train if split == "train" else test]


def _choose(labels: Index, pool: Index, spec: DataSpec, split: Split) -> Index:
    """Those of the positions ``pool`` that are taken, within the limits of ``spec``."""
    if split == "test" and spec.samples:
        return pool[balanced(labels[pool], spec.samples, seed=spec.seed)]
    if split == "test":
        return pool[each(labels[pool], spec.samples_per_class or len(pool), seed=spec.seed)]
    if spec.train_per_class:
        return pool[at_most_per_class(labels[pool], spec.train_per_class, seed=spec.seed)]
    return pool
