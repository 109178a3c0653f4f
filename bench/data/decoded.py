"""Decoding at the wanted size, once: the pixels are kept under the cache folder."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from safetensors.numpy import load_file, save_file

from adapters.cache import alone, is_sound, new_folder
from bench.data.raw import RawSet
from bench.data.spec import Interpolation

PIXELS = "pixels.safetensors"
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Fit:
    """How an image becomes ``size`` x ``size`` pixels: its shorter side is brought to ``resize``, then the centre is cut out.

    ``interpolation`` is one of bench.data.spec.Interpolation, as Pillow resamples.
    """

    size: int
    resize: int
    interpolation: Interpolation = "bilinear"

    def at(self, size: int) -> "Fit":
        """The same in proportion, for another ``size``."""
        return Fit(size, round(size * self.resize / self.size), self.interpolation)


def decode(raw: RawSet, index: npt.NDArray[np.int64], how: Fit, cache: Path | None) -> Pixels:
    """The images at ``index`` as uint8 N x 3 x size x size."""
    if cache is None or not raw.stamp:
        return _decode(raw, index, how)
    folder = cache / _key(raw, index, how)
    if not is_sound(folder):
        with alone(folder, "the decoded images"):
            if not is_sound(folder):
                with new_folder(folder) as temporary:
                    save_file({"x": _decode(raw, index, how)}, temporary / PIXELS)
    pixels: Pixels = load_file(folder / PIXELS)["x"]
    return pixels


def _decode(raw: RawSet, index: npt.NDArray[np.int64], how: Fit) -> Pixels:
    pixels = np.empty((len(index), 3, how.size, how.size), dtype=np.uint8)
    for row, position in zip(pixels, index, strict=True):
        row[:] = np.asarray(fit(raw.image(int(position)), how)).transpose(2, 0, 1)
    return pixels


def fit(image: Image.Image, how: Fit) -> Image.Image:
    """``image`` as RGB, scaled and cropped as ``how`` says, by the arithmetic of torchvision's Resize and CenterCrop."""
    short, size = min(image.size), how.size
    width, height = (how.resize if side == short else int(how.resize * side / short) for side in image.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    scaled = image.convert("RGB").resize((width, height), Image.Resampling[how.interpolation.upper()])
    return scaled.crop((left, top, left + size, top + size))


def _key(raw: RawSet, index: npt.NDArray[np.int64], how: Fit) -> str:
    digest = hashlib.sha256(f"{raw.stamp}\0{how}\0".encode())
    digest.update(index.tobytes())
    return digest.hexdigest()[:32]
