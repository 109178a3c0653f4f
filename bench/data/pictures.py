"""One image file -> RGB.

Whatever is wrong with a file from strangers, the error is a UserError that names it. A file is read as
torchvision's ImageFolder reads it, so that a model is judged on what it was trained on: the first frame of an
animation, colours by Pillow's ``convert("RGB")`` (transparency dropped, CMYK without a profile), and no turn
by the EXIF orientation, which ImageFolder ignores too. Only 16 bits a pixel differ: they are scaled, where
Pillow cuts them off at 255.
"""

import hashlib
import os
import re
import stat
import warnings
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, PngImagePlugin

from bench.errors import UserError

T = TypeVar("T")
FORMATS = ("BMP", "DIB", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What a file may hold, whatever its suffix.

Pillow would also start Ghostscript for PostScript under the name of a PNG.
"""
MAX_BYTES = 2**29
MAX_PIXELS = 89_478_485
"""Pillow's own bound for a picture that is not a decompression bomb: 256 MiB as RGB."""
PngImagePlugin.MAX_TEXT_CHUNK = (
    2**24
)  # a comment of 3 MB does not justify refusing sound pixels; all of them: 64 MiB


def read_image(file: Path) -> Image.Image:
    """The picture in ``file`` as RGB; raises UserError if it cannot be decoded."""
    with _open(file) as opened:
        return _guarded(file, lambda: _decode(opened))


def digest_of(file: Path) -> bytes:
    """sha256 of the bytes of ``file``; raises UserError if it cannot be read."""
    with _open(file) as opened:
        return _guarded(file, lambda: hashlib.file_digest(opened, "sha256").digest())


def shown(file: Path | str) -> str:
    """``file`` as text, bytes that are not UTF-8 written out."""
    return os.fsencode(file).decode("utf-8", "backslashreplace")


def _open(file: Path) -> BufferedReader:
    """``file`` for reading: a regular one, since opening a pipe would wait for whoever writes to it."""
    try:
        facts = file.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise UserError(f"{shown(file)}: not a regular file; remove it")
        if facts.st_size > MAX_BYTES:
            raise UserError(
                f"{shown(file)}: larger than {MAX_BYTES >> 20} MiB; save it smaller, or remove it"
            )
        return file.open("rb")
    except FileNotFoundError:
        problem = f"a link to {shown(file.readlink())}, which is missing" if file.is_symlink() else "missing"
        raise UserError(f"{shown(file)}: {problem}; restore the file, or remove it") from None
    except OSError as error:
        raise UserError(f"{shown(file)}: cannot be read: {error.strerror}; fix or remove it") from None


def _guarded(file: Path, read: Callable[[], T]) -> T:
    """What ``read`` makes of ``file``. Raises UserError, with the file's name, for whatever it raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about what it could read all the same
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return read()
    except UserError as error:
        raise UserError(f"{shown(file)}: {error}") from None
    except Exception as error:  # noqa: BLE001 (decoders raise struct.error, SyntaxError, zlib.error and more)
        reason = re.sub(r" <_io\..*>$", "", " ".join(str(error).split())[:500])[:200] or type(error).__name__
        raise UserError(f"{shown(file)}: not a readable image ({reason}); restore or remove it") from None


def _decode(opened: BufferedReader) -> Image.Image:
    with Image.open(opened, formats=FORMATS) as image:
        width, height = image.size
        if min(width, height) < 1:
            raise UserError(f"{width} x {height} pixels; restore or remove it")
        if width * height > MAX_PIXELS:
            raise UserError(
                f"{width:,} x {height:,} pixels, more than {MAX_PIXELS:,}; save it smaller, or remove it"
            )
        if image.mode in {"I", "F"}:
            raise UserError(
                f"its pixels (mode {image.mode}) have no fixed range; save it with 8 bits a channel"
            )
        return _eight_bits(image).convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """``image``, its 16 bits a pixel, if any, scaled to 8: Pillow itself would cut them off at 255."""
    if not image.mode.startswith("I;16"):
        return image
    return Image.fromarray(np.round(np.asarray(image) / 257).astype(np.uint8))
