"""Strips: a sample as it was, as an attack left it, and what that changed, as one picture for people.

A run keeps a few, at ``strips/<key>-<which>.png``. No number is made from them: without them a run says all
that it says.
"""

import io
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

from bench.store.checksum import BrokenFileError
from bench.store.header import CellEntry, RunHeader

if TYPE_CHECKING:
    from bench.ids import ModelId

LIMIT = 2_000_000
"""Bytes of all strips of a run at most."""
Which = Literal["worst", "median"]
WORST_AND_MEDIAN: tuple[Which, ...] = ("worst", "median")
PANELS = 3
"""Clean, adversarial, difference."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Strip:
    """The sample in the row ``row`` of a cell's records.

    ``pixels`` (H x 3W x 3) has it clean, adversarial, and as half a grey plus ``factor`` times the
    difference.
    """

    row: int
    factor: float
    pixels: npt.NDArray[np.uint8]


def planned(header: RunHeader) -> dict[str, tuple[Which, ...]]:
    """Of which cells, by key, the run of ``header`` keeps which strips.

    They are of every white-box attack at the headline eps on every model of the first training seed, through
    one library: as many as surely fit, the worst samples first, and one attack on each model before another
    on any.
    """
    if header.data is None:
        return {}
    keys = [(which, cell.key) for which in WORST_AND_MEDIAN for cell in _in_turn(_shown(header))]
    kept = dict.fromkeys(keys[: LIMIT // _most_bytes(header.data.size)])
    return {key: tuple(which for which, other in kept if other == key) for _, key in kept}


def share(plan: dict[str, tuple[Which, ...]]) -> int:
    """The bytes that a strip may have, for all of the ``plan`` to be within the limit."""
    return LIMIT // max(1, sum(map(len, plan.values())))


def strip_file(run: Path, key: str, which: Which) -> Path:
    """Where the strip of the cell ``key`` is, if one is kept."""
    return run / "strips" / f"{key}-{which}.png"


def encode_strip(strip: Strip) -> bytes:
    """``strip`` as a PNG, which names the row and the factor in its text."""
    words = PngImagePlugin.PngInfo()
    words.add_text("row", str(strip.row))
    words.add_text("factor", repr(strip.factor))
    out = io.BytesIO()
    Image.fromarray(strip.pixels).save(out, "png", pnginfo=words)
    return out.getvalue()


def read_strip(file: Path) -> Strip:
    """The strip in ``file``.

    Raises BrokenFileError if it is damaged or none of ours, FileNotFoundError if there is none.
    """
    if file.stat().st_size > LIMIT:
        raise BrokenFileError("larger than all strips of a run are")
    try:
        with Image.open(file, formats=["png"]) as image:
            if image.width % PANELS or image.width * image.height > LIMIT or image.mode != "RGB":
                raise ValueError("not three pictures side by side")
            pixels = np.array(image)
            return Strip(int(image.text["row"]), float(image.text["factor"]), pixels)  # type: ignore[attr-defined]
    except (OSError, SyntaxError, ValueError, KeyError) as error:
        raise BrokenFileError(f"no strip ({error})") from None


def _shown(header: RunHeader) -> list[CellEntry]:
    """Cells with samples worth a look: one of each white-box attack on each model, at the headline eps."""
    first: dict[tuple[ModelId, str], CellEntry] = {}
    seed = header.models[0].seed if header.models else 0
    for cell in header.cells:
        if (cell.access, cell.eps, cell.seed) == ("white-box", header.headline_eps, seed):
            first.setdefault((cell.id.model, cell.attack), cell)
    return list(first.values())


def _in_turn(cells: list[CellEntry]) -> list[CellEntry]:
    """The first attack on each model, then the second on each, and so on."""
    before: Counter[ModelId] = Counter()
    turns = []
    for cell in cells:
        turns.append(before[cell.id.model])
        before[cell.id.model] += 1
    return [cells[i] for i in np.argsort(turns, kind="stable")]


def _most_bytes(size: int) -> int:
    """Of a strip of images of ``size`` x ``size`` pixels that no compression makes smaller."""
    return int(1.01 * (PANELS * size * 3 + 1) * size) + 1000
