"""The embedded data: scikit-learn's handwritten digits (UCI, Alpaydin & Kaynak 1998), scaled up to RGB."""

from importlib.metadata import distribution

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.data.raw import Places, RawSet
from bench.data.spec import DataSpec, Split


def open_digits(spec: DataSpec, split: Split, places: Places) -> RawSet:  # noqa: ARG001 (the interface of every source)
    """All 1,797 digits, 8 x 8 in 0..16."""
    rows = _rows()
    grey = np.round(rows[:, :-1].reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
    return RawSet(
        classes=tuple(map(str, range(10))),
        labels=rows[:, -1].astype(np.int64),
        ids=tuple(f"digits/{i:04d}" for i in range(len(grey))),
        image=lambda i: Image.fromarray(grey[i]),
        native_size=32,
        division="halves",
    )


def _rows() -> npt.NDArray[np.float64]:
    """The values and the class of each digit, 1,797 x 65: scikit-learn's own file.

    Its ``load_digits`` reads the same, but importing that takes a second, of each run.
    """
    file = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    rows: npt.NDArray[np.float64] = np.loadtxt(str(file), delimiter=",")
    return rows
