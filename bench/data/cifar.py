"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009): 50,000 training and 10,000 test images, 32 x 32."""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from bench.data.folder import class_folders
from bench.data.layout import find_parts
from bench.data.raw import Places, RawSet
from bench.data.spec import DataSpec, Split
from bench.errors import UserError


def open_cifar(spec: DataSpec, split: Split, places: Places) -> RawSet:
    """``cifar10/`` (or ``cifar100/``) under the data root as folders of images.

    Else it is torchvision's archive, downloaded.
    """
    folder = places.root / spec.source
    if folder.is_dir() and find_parts(folder).of:
        return class_folders(folder, split, spec, native_size=32)
    bundle = _torchvision(spec.source, split, places)
    pixels: np.ndarray = bundle.data
    return RawSet(
        classes=tuple(bundle.classes),
        labels=np.asarray(bundle.targets, dtype=np.int64),
        ids=tuple(f"{spec.source}/{split}/{i:05d}" for i in range(len(pixels))),
        image=lambda i: Image.fromarray(pixels[i]),
        native_size=32,
        digest=lambda i: hashlib.sha256(pixels[i].tobytes()).digest(),
    )


def _torchvision(source: str, split: Split, places: Places) -> Any:
    from torchvision.datasets import CIFAR10, CIFAR100

    family = {"cifar10": CIFAR10, "cifar100": CIFAR100}[source]
    read: Callable[..., Any] = partial(family, str(places.root), train=split != "test")
    try:
        return read()
    except RuntimeError:
        pass  # not there, or broken: fetched below
    try:
        return read(download=True)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{places.root / family.base_folder}: missing or broken, and the download failed ({error});"
            f" download {family.url} (md5 {family.tgz_md5}) and unpack it in {places.root}; or correct"
            " --data-root"
        ) from None
