"""Images from strangers: whatever a file holds, the answer is a picture or an error that names the file,
and nothing else."""

import io
import os
import random
import re
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.data.pictures import MAX_BYTES, digest_of, read_image
from bench.errors import UserError
from tests.builders.figures import Figure
from tests.builders.limited import ends_within

SEED = int(os.environ.get("BENCH_TORTURE_SEED", "0"))
MANY = int(os.environ.get("BENCH_TORTURE_INPUTS", "20000"))
FEW = 400
NUMBERS = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
CHUNKS = (
    b"zTXt",
    b"iTXt",
    b"tEXt",
    b"iCCP",
    b"acTL",
    b"fcTL",
    b"eXIf",
    b"PLTE",
    b"tRNS",
    b"gAMA",
    b"IDAT",
    b"IEND",
    b"pHYs",
)
SOUND: tuple[tuple[str, dict[str, Any]], ...] = (
    ("bmp", {}), ("gif", {}), ("jpg", {}), ("jpg", {"progressive": True}), ("png", {}), ("ppm", {}),
    ("tif", {}), ("tif", {"compression": "tiff_lzw"}), ("tif", {"compression": "jpeg"}),
    ("tif", {"compression": "packbits"}), ("webp", {}), ("webp", {"lossless": True}),
)  # fmt: skip
MODES = {
    "jpg": ("RGB", "L", "CMYK"),
    "png": ("RGB", "RGBA", "P", "L", "LA", "1", "I;16"),
    "tif": ("RGB", "CMYK", "L", "1", "P"),
}
PLAIN = [
    b"P3\n# a comment\n2 2\n255\n" + b"1 2 3 " * 4,
    b"P1\n4 2\n1 0 1 0\n0 1 0 1\n",
    b"P2 2 2 65535 1 2 3 4",
]


def sound() -> Iterator[bytes]:
    """Small pictures of every kind that is read."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 4), dtype=np.uint8), "RGBA")
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix, options in SOUND:
        for mode in MODES.get(suffix, ("RGB",)):
            if options.get("compression") == "jpeg" and mode not in {"RGB", "L"}:
                continue
            shown = (
                picture.convert("L").convert(mode)
                if mode in {"LA", "I;16"}
                else picture.convert("RGB").convert(mode)
            )
            more: dict[str, Any] = {"exif": exif} if suffix in {"jpg", "png", "webp"} else {}
            more |= (
                {"save_all": True, "append_images": [shown.rotate(180)]}
                if suffix in {"gif", "tif", "webp"}
                else {}
            )
            more |= {"transparency": 3} if (suffix, mode) == ("png", "P") else {}
            file = io.BytesIO()
            shown.save(file, {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix), **options, **more)
            yield file.getvalue()
    yield from PLAIN


PICTURES = list(sound())


def mutate(data: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        data = rng.choice((_flip, _number, _cut, _insert, _repeat, _digits, _chunk, _chunk))(data, rng)
    return _checked(data) if rng.random() < 0.7 else data


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 4, 20))):
        if changed:
            changed[rng.randrange(min(len(changed), rng.choice((40, 200, len(changed)))))] = rng.randrange(
                256
            )
    return bytes(changed)


def _number(data: bytes, rng: random.Random) -> bytes:
    at, order, code = rng.randrange(len(data) + 1), rng.choice("<>"), rng.choice("HI")
    written = struct.pack(order + code, rng.choice(NUMBERS) & (0xFFFF if code == "H" else 0xFFFFFFFF))
    return data[:at] + written + data[at + len(written) :]


def _cut(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] if rng.random() < 0.5 else data[:at] + data[at + rng.choice((1, 2, 4, 30)) :]


def _insert(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.choice((1, 2, 4, 30, 300))) + data[at:]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    first, last = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[first:last] + data[at:]


def _digits(data: bytes, rng: random.Random) -> bytes:
    """Another number in a header of text."""
    found = list(re.finditer(rb"\d+", data[:60]))
    if not found:
        return data
    chosen = rng.choice(found)
    written = rng.choice(
        (b"0", b"-1", b"1e9", b"9" * 30, b"99999", b"65536", b"x", b"#", b"", b" ", b"\n" * 50)
    )
    return data[: chosen.start()] + written + data[chosen.end() :]


def _chunk(data: bytes, rng: random.Random) -> bytes:
    """A further chunk in a PNG, its checksum right."""
    places = [m.start() - 4 for m in re.finditer(rb"IDAT|PLTE|IEND|tRNS|eXIf", data) if m.start() >= 4]
    if not data.startswith(b"\x89PNG") or not places:
        return data
    body = rng.choice(
        (b"", b"x", b"Comment\0\0", b"Comment\0\0\0\0\0", b"Comment", b"\xff" * 9, b"icc\0\0")
    ) + rng.choice(
        (b"", zlib.compress(b"x" * 2000), zlib.compress(b"x" * 200)[:-3], rng.randbytes(20), b"\0" * 26)
    )
    kind, at = rng.choice(CHUNKS), rng.choice(places)
    return (
        data[:at]
        + struct.pack(">I", len(body))
        + kind
        + body
        + struct.pack(">I", zlib.crc32(kind + body))
        + data[at:]
    )


def _checked(data: bytes) -> bytes:
    """A PNG whose checksums are right again, so that its damage is found deeper."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    done, at = data[:8], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        body = data[at + 4 : at + 8 + length]
        done += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return done + data[at:]


def answer(file: Path, data: bytes) -> str:
    """ "picture" or "refused"; anything else that happens is a failure."""
    file.write_bytes(data)
    try:
        picture = read_image(file)
    except UserError as error:
        return (
            "refused" if str(error).startswith(f"{file}: ") and "\n" not in str(error) else "an odd message"
        )
    assert picture.mode == "RGB"
    assert np.asarray(picture).shape == (picture.height, picture.width, 3)
    return "picture"


def fuzz(file: Path, count: int) -> tuple[int, int, float]:
    """How many of ``count`` mutated pictures were read, how many refused, and the slowest one's seconds."""
    rng, answers, slowest = random.Random(SEED), [], 0.0
    for _ in range(count):
        data = mutate(rng.choice(PICTURES), rng)
        started = time.process_time()
        answers.append(answer(file, data))
        slowest = max(slowest, time.process_time() - started)
    return answers.count("picture"), answers.count("refused"), slowest


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.png"


def test_sound_pictures_of_every_kind_are_read(file: Path) -> None:
    assert len(PICTURES) > 25
    refused = [i for i, data in enumerate(PICTURES) if answer(file, data) != "picture"]
    assert [PICTURES[i][:2] for i in refused] == [b"P2"]  # its 16 bits come without a range


def test_mutated_pictures_are_read_or_refused(file: Path) -> None:
    read, refused, _ = fuzz(file, FEW)
    assert (read + refused, min(read, refused) > FEW / 10) == (FEW, True)


@pytest.mark.slow
def test_many_mutated_pictures(file: Path, figure: Figure) -> None:
    read, refused, slowest = fuzz(file, MANY)
    figure(
        f"5 hostile images (seed {SEED}): {MANY} inputs, {read} still pictures, {refused} refused by name, 0"
        f" tracebacks, slowest {slowest:.2f} s"
    )
    assert read + refused == MANY
    assert slowest < 30


def png(width: int, height: int, *, depth: int = 1, colour: int = 0) -> bytes:
    """A black picture, row by row: as small as a bomb can be."""
    row = b"\0" * (1 + (width * depth * {0: 1, 2: 3}[colour] + 7) // 8)
    packed = zlib.compressobj(9)
    body = b"".join(packed.compress(row) for _ in range(height)) + packed.flush()
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)),
        (b"IDAT", body),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def with_comment(size: int, kind: bytes = b"zTXt") -> bytes:
    """A sound PNG with a comment that unpacks to ``size`` bytes."""
    body = kind + b"Comment\0\0" + (b"\1\0\0\0" if kind == b"iTXt" else b"") + zlib.compress(b"x" * size)
    picture = png(8, 8)
    return (
        picture[:33]
        + struct.pack(">I", len(body) - 4)
        + body
        + struct.pack(">I", zlib.crc32(body))
        + picture[33:]
    )


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "200 megapixels": (lambda: png(20_000, 10_000), "pixels"),
    "just too many": (lambda: png(10_000, 9_000), "pixels"),
    "100,000,000 x 1": (lambda: png(100_000_000, 1), "pixels"),
    "a comment of 200 MB": (lambda: with_comment(200_000_000), "not a readable image"),
    "a BMP of nothing": (
        lambda: b"BM" + struct.pack("<IIIIiiHHIIIIII", 54, 0, 54, 40, 2**30, 2**20, 1, 24, *[0] * 6),
        "pixels",
    ),
    "a PPM of nothing": (lambda: b"P6 99999 99999 255\n", "pixels"),
    "a GIF of nothing": (
        lambda: b"GIF89a" + b"\xff" * 4 + b"\0\0\0,\0\0\0\0" + b"\xff" * 4 + b"\0\x08\0;",
        "pixels",
    ),
    "PostScript": (
        lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
        "not a readable image",
    ),
}


@pytest.mark.parametrize(("make", "reason"), BOMBS.values(), ids=BOMBS.keys())
def test_bombs_are_refused(make: Callable[[], bytes], reason: str, file: Path) -> None:
    file.write_bytes(make())
    with pytest.raises(UserError, match=rf"^{re.escape(str(file))}: .*{reason}"):
        read_image(file)


def test_bombs_cost_little(file: Path, figure: Figure) -> None:
    """All of them in a child that the kernel ends if it takes more than this."""
    megabytes, seconds = 512, 60
    bombs = [make() for make, _ in BOMBS.values()]
    assert ends_within(megabytes, seconds, lambda: {answer(file, bomb) for bomb in bombs} == {"refused"})
    figure(f"5 image bombs: {len(bombs)} tried, all refused within {megabytes} MiB and {seconds} s of CPU")


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_a_long_comment_is_no_reason_to_refuse_sound_pixels(kind: bytes, file: Path) -> None:
    file.write_bytes(with_comment(3_000_000, kind))
    np.testing.assert_array_equal(np.asarray(read_image(file)), np.zeros((8, 8, 3)))


def test_a_huge_file_is_refused_unread(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(MAX_BYTES + 1)  # sparse
    for read in (read_image, digest_of):
        with pytest.raises(UserError, match=r"x.png: larger than 512 MiB"):
            read(file)


def test_pictures_look_as_imagefolder_shows_them(file: Path) -> None:
    """Pixel by pixel as torchvision's loader: transparency, palettes, CMYK, animations and a turn by EXIF."""
    from torchvision.datasets.folder import pil_loader

    loader: Callable[[str], Image.Image] = pil_loader
    compared = 0
    for data in PICTURES:
        file.write_bytes(data)
        if Image.open(file).mode.startswith("I"):
            continue  # 16 bits are scaled here
        np.testing.assert_array_equal(np.asarray(read_image(file)), np.asarray(loader(str(file))))
        compared += 1
    assert compared > 25
