"""Images and labels as Python users have them -> an ImageSet, or an error that says what is wrong."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.images import ImageFacts, ImageSet
from bench.errors import UserError

CHANNELS = {1, 3}
SHAPE = "images are N x C x H x W, with values in [0, 1], or uint8 up to 255"


def as_samples(images: Any, labels: Any = None, classes: Sequence[str] | None = None) -> ImageSet:
    """``images`` (N x C x H x W in [0, 1], or uint8) and ``labels`` (N class numbers) as an ImageSet.

    Each is an array or a tensor. Without ``labels``, ``images`` is an iterable of batches (images, labels),
    like a DataLoader. Without ``classes``, these are named by their numbers, up to the largest label. Raises
    UserError if anything does not fit.
    """
    if labels is None:
        images, labels = _batches(images)
    x, y = _images(_array(images, "images")), _labels(_array(labels, "labels"))
    if len(x) != len(y):
        raise UserError(f"{len(x)} images, but {len(y)} labels; give one label for each image")
    names = tuple(classes) if classes is not None else tuple(str(i) for i in range(int(y.max()) + 1))
    if int(y.max()) >= len(names):
        raise UserError(
            f"labels: the largest is {int(y.max())}, but there are {len(names)} classes, numbered from 0"
        )
    if len(names) < 2 or len(set(names)) < len(names):
        raise UserError("classes: give at least two, each once")
    ids = tuple(f"{i:06d}" for i in range(len(x)))
    side = min(x.shape[2:])
    return ImageSet(x, y, ids, names, ImageFacts(native=(side, side), available=len(x)))


def _batches(loader: Iterable[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    if isinstance(loader, np.ndarray) or not isinstance(loader, Iterable) or hasattr(loader, "detach"):
        raise UserError(
            "labels are missing; give them beside the images, or a DataLoader of (images, labels)"
        )
    parts = []
    for batch in loader:
        if not isinstance(batch, Sequence) or len(batch) != 2:
            raise UserError("the loader does not give batches of (images, labels); wrap it so that it does")
        parts.append((_array(batch[0], "images"), _array(batch[1], "labels")))
    if not parts:
        raise UserError("the loader is empty; give at least one batch of (images, labels)")
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _array(values: Any, what: str) -> npt.NDArray[Any]:
    """``values`` in main memory, whatever device they are on."""
    found = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    if found.dtype == object or not np.issubdtype(found.dtype, np.number):
        raise UserError(f"{what}: {found.dtype} values; give an array or tensor of numbers")
    return found


def _images(x: npt.NDArray[Any]) -> npt.NDArray[np.uint8] | npt.NDArray[np.float32]:
    shape = " x ".join(map(str, x.shape))
    if x.ndim != 4 or 0 in x.shape:
        raise UserError(f"images: their shape is {shape or 'a number'}; {SHAPE}")
    if x.shape[1] not in CHANNELS and x.shape[3] in CHANNELS:
        raise UserError(f"images: {shape} has the channels last; give images.transpose(0, 3, 1, 2)")
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x)
    if not np.issubdtype(x.dtype, np.floating):
        raise UserError(f"images: {x.dtype} values; {SHAPE}")
    _check_range(x)
    return np.ascontiguousarray(x, dtype=np.float32)


def _check_range(x: npt.NDArray[Any]) -> None:
    low, high = float(x.min()), float(x.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise UserError("images: some values are not finite")
    if low < 0:
        raise UserError(
            f"images: values from {low:.3g} to {high:.3g} are normalised already; give images in [0, 1], and"
            " the normalisation as mean and std: eps is on the scale of the pixels"
        )
    if high > 1:
        scale = "divide by 255" if high <= 255 else "scale them"
        raise UserError(f"images: values up to {high:.4g} are outside [0, 1]; {scale}")


def _labels(y: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    if y.ndim != 1:
        hint = "; for one-hot rows give labels.argmax(1)" if y.ndim == 2 else ""
        raise UserError(f"labels: their shape is {' x '.join(map(str, y.shape)) or 'a number'}, not N{hint}")
    if not len(y):
        raise UserError("labels: there are none")
    if not np.issubdtype(y.dtype, np.integer):
        raise UserError(f"labels: {y.dtype} values; give class numbers as integers")
    if int(y.min()) < 0:
        raise UserError(f"labels: {int(y.min())} is negative; classes are numbered from 0")
    return y.astype(np.int64)
