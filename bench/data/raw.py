"""What every source gives: labelled images, listed but not yet decoded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image


@dataclass(frozen=True)
class RawSet:
    """One split of a source, in a stable order.

    ``labels`` (int64, N) index ``classes``; ``image`` gives the picture at a position; ``native_size`` is the side in pixels
    that fits the source. ``stamp`` changes when the underlying files do; it is empty where decoding is cheaper than a cache.
    A set that is not ``divided`` has no split of its own: train and test are halves of it.
    """

    classes: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    ids: tuple[str, ...]
    image: Callable[[int], Image.Image]
    native_size: int
    stamp: str = ""
    divided: bool = True


@dataclass(frozen=True)
class Places:
    """Where data sets lie (``root``) and where decoded images are kept (``cache``; None keeps none)."""

    root: Path
    cache: Path | None = None


NOWHERE = Places(Path())
"""Enough for the sources that come bundled with a library."""
