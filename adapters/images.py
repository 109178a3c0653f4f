"""Labelled images as plain arrays: what training consumes and what samples are made of."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class ImageFacts:
    """How a set came about. It is said beside the numbers, and is not part of the set's content.

    ``native`` is the smallest and the largest shorter side in pixels that the images had before they were
    brought to one size, None where nobody knows; ``cropped`` says whether parts were cut off. ``available``
    is how many images of the chosen classes the split has, of which the set may be a choice; ``notes`` are
    sentences for the reader. ``way`` is what the shorter side was brought to in pixels before the centre was
    cut out, and the interpolation.
    """

    native: tuple[int, int] | None = None
    cropped: bool = False
    available: int | None = None
    notes: tuple[str, ...] = ()
    way: tuple[int, str] | None = None


@dataclass(frozen=True)
class ImageSet:
    """Labelled images with stable ids.

    ``images`` is N x 3 x H x W, uint8, or float32 in [0, 1]; ``labels`` is int64, N, in [0, len(classes));
    ``ids`` name the samples across runs.
    """

    images: npt.NDArray[np.uint8] | npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    facts: ImageFacts = ImageFacts()

    def __post_init__(self) -> None:
        if not len(self.images) == len(self.labels) == len(self.ids):
            raise ValueError(
                f"{len(self.images)} images, {len(self.labels)} labels and {len(self.ids)} ids do not match"
            )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def x(self) -> npt.NDArray[np.float32]:
        """The images as float32 in [0, 1], N x 3 x H x W."""
        if self.images.dtype == np.uint8:
            return np.divide(self.images, 255, dtype=np.float32)
        return self.images.astype(np.float32, copy=False)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """C, H, W of one image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @cached_property
    def content_hash(self) -> str:
        """sha256 over pixels, labels, ids and class names."""
        digest = hashlib.sha256(repr((self.images.shape, self.ids, self.classes)).encode())
        digest.update(
            np.ascontiguousarray(self.images).data
        )  # as a buffer: bytes would be a copy of the whole set
        digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()

    def take(self, index: npt.NDArray[np.int64]) -> "ImageSet":
        """The samples at ``index``, in that order."""
        return ImageSet(
            self.images[index],
            self.labels[index],
            tuple(self.ids[i] for i in index),
            self.classes,
            self.facts,
        )

    def noting(self, *notes: str) -> "ImageSet":
        """The same samples, with further ``notes`` for the reader."""
        return replace(self, facts=replace(self.facts, notes=(*self.facts.notes, *notes)))

    def none_of_them(self) -> "ImageSet":
        """No samples of the same classes and shape."""
        return self.take(np.array([], dtype=np.int64))
