"""Decoding at the wanted size, once: the pixels are kept under the cache folder."""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from safetensors.numpy import load_file, save_file

from adapters.cache import alone, is_sound, new_folder
from bench.data.raw import RawSet

PIXELS = "pixels.safetensors"
Pixels = npt.NDArray[np.uint8]


def decode(raw: RawSet, index: npt.NDArray[np.int64], size: int, cache: Path | None) -> Pixels:
    """The images at ``index`` as uint8 N x 3 x size x size."""
    if cache is None or not raw.stamp:
        return _decode(raw, index, size)
    folder = cache / _key(raw, index, size)
    if not is_sound(folder):
        with alone(folder, "the decoded images"):
            if not is_sound(folder):
                with new_folder(folder) as temporary:
                    save_file({"x": _decode(raw, index, size)}, temporary / PIXELS)
    pixels: Pixels = load_file(folder / PIXELS)["x"]
    return pixels


def _decode(raw: RawSet, index: npt.NDArray[np.int64], size: int) -> Pixels:
    pixels = np.empty((len(index), 3, size, size), dtype=np.uint8)
    for row, position in zip(pixels, index, strict=True):
        row[:] = np.asarray(fit(raw.image(int(position)), size)).transpose(2, 0, 1)
    return pixels


def fit(image: Image.Image, size: int) -> Image.Image:
    """``image`` as RGB, its shorter side scaled to ``size`` (bilinear), then cropped to the central square."""
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    scaled = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    return scaled.crop((left, top, left + size, top + size))


def _key(raw: RawSet, index: npt.NDArray[np.int64], size: int) -> str:
    digest = hashlib.sha256(f"{raw.stamp}\0{size}\0".encode())
    digest.update(index.tobytes())
    return digest.hexdigest()[:32]
