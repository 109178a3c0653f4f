"""The embedded data: scikit-learn's handwritten digits (UCI, Alpaydin & Kaynak 1998), scaled up to RGB."""

import numpy as np
from PIL import Image

from bench.data.raw import Places, RawSet
from bench.data.spec import DataSpec, Split


def open_digits(spec: DataSpec, split: Split, places: Places) -> RawSet:  # noqa: ARG001 (the interface of every source)
    """All 1,797 digits, 8 x 8 in 0..16."""
    from sklearn.datasets import load_digits

    bundle = load_digits()
    grey = np.round(bundle.images * 255 / 16).astype(np.uint8)
    return RawSet(
        classes=tuple(map(str, range(10))),
        labels=bundle.target.astype(np.int64),
        ids=tuple(f"digits/{i:04d}" for i in range(len(grey))),
        image=lambda i: Image.fromarray(grey[i]),
        native_size=32,
        division="halves",
    )
