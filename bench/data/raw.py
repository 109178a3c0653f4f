"""What every source gives: labelled images, listed but not yet decoded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

Division = Literal["own", "halves", "none"]
"""How a set is divided.

"own": by its source. "halves": in halves, whatever is done with it. "none": not at all, but in halves to
train on one.
"""


@dataclass(frozen=True)
class RawSet:
    """One split of a source, in a stable order.

    ``labels`` (int64, N) index ``classes``; ``image`` gives the picture at a position, and ``digest`` a
    digest of its content: None where decoding is cheaper than a cache. ``native_size`` is the side in pixels
    that fits the source, None where that is the images' own. ``notes`` are sentences on what was found and
    taken.
    """

    classes: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    ids: tuple[str, ...]
    image: Callable[[int], Image.Image]
    native_size: int | None
    digest: Callable[[int], bytes] | None = None
    division: Division = "own"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Places:
    """Where data sets lie (``root``) and where decoded images are kept (``cache``; None keeps none).

    ``near`` are the suite's folder and the current one: a path in a suite counts from the first of these that
    has it.
    """

    root: Path
    cache: Path | None = None
    near: tuple[Path, ...] = ()


NOWHERE = Places(Path())
"""Enough for the sources that come bundled with a library."""
