"""What transformers' image processor does to an image, as what a network expects of one here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.backbones.model_folder import PROCESSOR
from adapters.errors import ModelError
from adapters.files.guards import is_there, read_json
from adapters.preprocessing import RGB, Preprocessing

WHITE = 255
CONVNEXT_CROPS_BELOW = 384
"""ConvNeXt's processor cuts a margin off images below this size, and squashes larger ones."""
SQUASHED = (
    "its image processor squashes images that are not square; here the central square is cut out instead"
)


@dataclass(frozen=True)
class _Way:
    """To ``size`` from a ``resize`` of the shorter side; ``squash``: both sides are brought to it."""

    size: int | None
    resize: int | None
    squash: bool = False


def read_processor(folder: Path) -> Any:
    """The image processor in ``folder``, None where there is none.

    Raises ModelError if transformers cannot make it.
    """
    file = folder / PROCESSOR
    if not is_there(file):
        return None
    read_json(file)  # of bounded size, before others read it
    from transformers import AutoImageProcessor

    try:
        return AutoImageProcessor.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # noqa: BLE001 (a stranger's values fail in every way)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{file}: not an image processor of transformers ({reason}); copy it again, or remove it"
        ) from None


def expected_by(processor: Any, where: Path) -> Preprocessing:
    """What ``processor``, read from the folder ``where``, makes of an image."""
    from PIL import Image

    way = _way(processor)
    mean, std = _normalisation(processor, where)
    resample = getattr(processor, "resample", None)
    name = None if resample is None else Image.Resampling(int(resample)).name.lower()
    return Preprocessing(mean, std, "weights", way.size, way.resize, name if way.resize else None)


def notes_on(processor: Any) -> tuple[str, ...]:
    """What is done here in another way."""
    return (SQUASHED,) if _way(processor).squash else ()


def _normalisation(processor: Any, where: Path) -> tuple[RGB, RGB]:
    """Mean and deviation on the [0, 1] scale, of pixels to 255 that are rescaled, moved, then normalised."""
    factor = (
        float(_get(processor, "rescale_factor", 1 / WHITE)) if _get(processor, "do_rescale", True) else 1.0
    )
    moved = 1.0 if factor != 1 and _get(processor, "rescale_offset", False) else 0.0
    normalised = _get(processor, "do_normalize", True)
    means = _channels(processor.image_mean, where) if normalised else (0.0,) * 3
    stds = _channels(processor.image_std, where) if normalised else (1.0,) * 3
    if factor <= 0 or min(stds) <= 0:
        raise ModelError(f"{where / PROCESSOR}: image_std and rescale_factor must be above 0")
    scale = factor * WHITE if abs(factor * WHITE - 1) > 1e-9 else 1.0
    red, green, blue = ((mean + moved) / scale for mean in means)
    return (red, green, blue), (stds[0] / scale, stds[1] / scale, stds[2] / scale)


def _channels(values: Any, where: Path) -> tuple[float, ...]:
    found = tuple(map(float, values)) if isinstance(values, list | tuple) else (float(values),) * 3
    if len(found) != 3:
        raise ModelError(f"{where / PROCESSOR}: normalises {len(found)} channels; images have three here")
    return found


def _way(processor: Any) -> _Way:
    size, crop = (_sides(_get(processor, name, None)) for name in ("size", "crop_size"))
    resized = _get(processor, "do_resize", True) and bool(size)
    shorter = size.get("shortest_edge") or size.get("height")
    squash = "shortest_edge" not in size
    if _get(processor, "do_center_crop", False) and crop:
        side = crop.get("height") or crop.get("shortest_edge")
        return _Way(side, shorter, squash) if resized else _Way(side, None)
    if not resized or shorter is None:
        return _Way(None, None)
    share = _get(processor, "crop_pct", None)
    if share and shorter < CONVNEXT_CROPS_BELOW:
        return _Way(shorter, int(shorter / share))
    return _Way(shorter, shorter, squash or bool(share))


def _get(processor: Any, name: str, otherwise: Any) -> Any:
    found = getattr(processor, name, None)
    return otherwise if found is None else found


def _sides(size: Any) -> dict[str, int]:
    """``size`` as names and pixels: transformers keeps a number, a dictionary or an object of its own."""
    if size is None:
        return {}
    if isinstance(size, int):
        return {"height": size, "width": size}
    named = dict(size) if isinstance(size, dict) else vars(size)
    return {str(name): int(value) for name, value in named.items() if value is not None}
