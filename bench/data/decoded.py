"""Decoding at the wanted size, once: pixels are kept under the cache folder, by their files' content."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from safetensors.numpy import load_file, save_file

from adapters.cache.folders import alone, is_sound, new_folder
from bench.data.pictures import MAX_PIXELS
from bench.data.raw import RawSet
from bench.data.spec import Interpolation
from bench.errors import UserError

PIXELS = "pixels.safetensors"
VERSION = 2
"""Raised when the same files would be decoded to other pixels, or kept in another form."""
SMALLEST, LARGEST = 8, 512
"""Sides in pixels that a set may have by itself, as in DataSpec.size."""
USUAL_SIZE = 224
"""The side in pixels of images that do not agree on one: ImageNet's."""
Pixels = npt.NDArray[np.uint8]
Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Fit:
    """How an image becomes ``size`` x ``size`` pixels.

    Its shorter side is brought to ``resize``, then the centre is cut out. ``interpolation`` is one of
    bench.data.spec.Interpolation, as Pillow resamples.
    """

    size: int
    resize: int
    interpolation: Interpolation = "bilinear"

    def __str__(self) -> str:
        return f"{self.size} of {self.resize} px, {self.interpolation}"

    def at(self, size: int) -> "Fit":
        """The same in proportion, for another ``size``."""
        return Fit(size, round(size * self.resize / self.size), self.interpolation)

    def scaled(self, sides: tuple[int, int]) -> tuple[int, int]:
        """Width and height of a picture of ``sides`` before its centre is cut out, as in torchvision."""
        short = min(sides)
        width, height = (self.resize if side == short else int(self.resize * side / short) for side in sides)
        return width, height


@dataclass(frozen=True)
class Decoded:
    """Images as uint8 N x 3 x S x S, and what they were before.

    ``native`` is the smallest and the largest shorter side in pixels; ``cropped``: whether parts of a picture
    were cut off.
    """

    pixels: Pixels
    native: tuple[int, int]
    cropped: bool


def decode(
    raw: RawSet, index: Index, size: int | None, how: Callable[[int], Fit], cache: Path | None
) -> Decoded:
    """The images at ``index``, ``size`` x ``size`` pixels: by default their own size where they agree on one.

    ``how`` gives the way to a size. Raises UserError where an image cannot be read, or would not fit into
    memory.
    """
    if cache is None or raw.digest is None:
        return _decode(raw, index, size, how)
    digests = [raw.digest(int(i)) for i in index]
    folder = cache / _key(digests, size, how)
    if not is_sound(folder):
        with alone(folder, "the decoded images"):
            if not is_sound(folder):
                with new_folder(folder) as temporary:
                    _write(temporary / PIXELS, _decode(raw, index, size, how))
                    if digests != [raw.digest(int(i)) for i in index]:
                        raise UserError(
                            "data: the images changed while they were read; run the same command again"
                        )
    return _read(folder / PIXELS)


def _write(file: Path, found: Decoded) -> None:
    save_file(
        {"x": found.pixels, "native": np.array(found.native), "cropped": np.array([found.cropped])}, file
    )


def _read(file: Path) -> Decoded:
    kept = load_file(file)
    smallest, largest = kept["native"].tolist()
    return Decoded(kept["x"], (smallest, largest), bool(kept["cropped"][0]))


def _decode(raw: RawSet, index: Index, size: int | None, how: Callable[[int], Fit]) -> Decoded:
    fitting = how(size or _own_size(raw.image(int(index[0]))))
    side = fitting.size
    pixels = np.empty((len(index), 3, side, side), dtype=np.uint8)
    native, cropped = np.empty(len(index), dtype=np.int64), False
    for row, position in enumerate(index):
        image = raw.image(int(position))
        if size is None and _own_size(image) != side:
            return _decode(raw, index, USUAL_SIZE, how)
        native[row] = min(image.size)
        width, height = fitting.scaled(image.size)
        if width * height > MAX_PIXELS:
            raise UserError(
                f"{raw.ids[position]}: its sides differ so much that it would have {width:,} x {height:,}"
                " pixels; crop it"
            )
        cropped |= (width, height) != (side, side)
        pixels[row] = np.asarray(fit(image, fitting)).transpose(2, 0, 1)
    return Decoded(pixels, (int(native.min()), int(native.max())), cropped)


def _own_size(image: Image.Image) -> int:
    """The side in pixels that suits ``image``; USUAL_SIZE where its own is out of bounds."""
    side = min(image.size)
    return side if SMALLEST <= side <= LARGEST else USUAL_SIZE


def fit(image: Image.Image, how: Fit) -> Image.Image:
    """``image`` as RGB, scaled and cropped as ``how`` says.

    The arithmetic is that of torchvision's Resize and CenterCrop.
    """
    width, height = how.scaled(image.size)
    left, top = round((width - how.size) / 2), round((height - how.size) / 2)
    scaled = image.convert("RGB").resize((width, height), Image.Resampling[how.interpolation.upper()])
    return scaled.crop((left, top, left + how.size, top + how.size))


def _key(digests: Sequence[bytes], size: int | None, how: Callable[[int], Fit]) -> str:
    ways = [how(side) for side in ((size,) if size else range(SMALLEST, LARGEST + 1))]
    digest = hashlib.sha256(f"decoded {VERSION}\0{size}\0{ways}\0".encode())
    digest.update(b"".join(digests))
    return digest.hexdigest()[:32]
