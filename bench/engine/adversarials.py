"""Adversarial images as files: encoded, read back, and put to the model again."""

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load, save

from adapters.classifier import Classifier, predict
from bench.store.records import Floats, Ints, Records

Images = npt.NDArray[np.float32]
"""N x 3 x H x W in [0, 1]."""


@dataclass(frozen=True)
class Recheck:
    """What the model says of a cell's stored images.

    Of ``success`` successful adversarials, ``success_float32`` still succeed as they are stored and
    ``success_uint8`` after rounding to 8 bits, as an image file would hold them.
    """

    success: int
    success_float32: int
    success_uint8: int


def encode(images: Images, records: Records) -> bytes:
    """``images`` of the samples of ``records`` as safetensors: tensor "x", the samples' ids as metadata."""
    data: bytes = save({"x": np.ascontiguousarray(images)}, metadata={"ids": json.dumps(records.id.tolist())})
    return data


def pack(images: list[Images]) -> bytes:
    """Images of the same samples at several eps as one file."""
    data: bytes = save({"x": np.stack(images)})
    return data


def unpack(data: bytes) -> list[Images]:
    """Undoes ``pack``."""
    return list(load(data)["x"])


def recheck(classifier: Classifier, images: Images, records: Records, batch_size: int) -> Recheck:
    """Predict ``images`` again, as they are and rounded to uint8."""
    hit = np.flatnonzero(records.success)
    plain, label = images[hit], records.label[hit]
    rounded = np.rint(plain * 255).astype(np.uint8)
    return Recheck(
        len(hit),
        int((_predictions(classifier, plain, label, batch_size) != label).sum()),
        int(
            (
                _predictions(classifier, np.divide(rounded, 255, dtype=np.float32), label, batch_size)
                != label
            ).sum()
        ),
    )


def _predictions(classifier: Classifier, images: Floats, labels: Ints, batch_size: int) -> Ints:
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    device = classifier.device
    said = [
        predict(classifier, x[i : i + batch_size].to(device), y[i : i + batch_size].to(device)).pred
        for i in range(0, len(x), batch_size)
    ]
    return np.concatenate(said) if said else np.empty(0, dtype=np.int64)
