"""What a network expects of an image, and who said so."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from adapters.errors import ModelError
from adapters.files.guards import parse_json

RGB = tuple[float, float, float]
Origin = Literal["suite", "weights", "training", "architecture", "assumed"]
"""Who said it.

In this order: the suite; the weights themselves (their file, or the name under which they are published);
nobody, which is no matter, since the network is trained here with it; the settings that belong to the
architecture's published weights; or nobody, so that ImageNet's are assumed.
"""
IMAGENET_MEAN: RGB = (0.485, 0.456, 0.406)
IMAGENET_STD: RGB = (0.229, 0.224, 0.225)
METADATA = "preprocessing"
"""The one metadata entry of a safetensors file that we write: the order of several would not be fixed."""


@dataclass(frozen=True)
class Preprocessing:
    """The normalisation inside a Classifier, per RGB channel of images in [0, 1], and where it comes from.

    ``size`` is the side in pixels that the weights were made for, None where nobody knows. ``resize`` is what
    the shorter side was brought to before the centre was cut out of it, by ``interpolation``; None where
    nobody knows.
    """

    mean: RGB
    std: RGB
    origin: Origin
    size: int | None = None
    resize: int | None = None
    interpolation: str | None = None

    def at(self, size: int | None) -> "Preprocessing":
        """The same for images of ``size`` pixels: as much is cut off, in proportion.

        None leaves it as it is.
        """
        resize = round(size * self.resize / self.size) if size and self.size and self.resize else self.resize
        return replace(self, size=size or self.size, resize=resize)


def to_metadata(found: Preprocessing) -> dict[str, str]:
    """``found`` as it is kept in the file of the weights; its origin will be that file."""
    return {METADATA: json.dumps({k: v for k, v in asdict(found).items() if k != "origin"})}


def from_metadata(metadata: Mapping[str, str]) -> Preprocessing | None:
    """What ``to_metadata`` wrote; None where nothing that can be read was written."""
    try:
        fields = parse_json(metadata[METADATA].encode(), METADATA)
        mean, std = (_rgb(fields.pop(name)) for name in ("mean", "std"))
        return Preprocessing(mean, std, "weights", **fields)
    except (KeyError, ValueError, TypeError, AttributeError, ModelError):
        return None


def _rgb(values: Any) -> RGB:
    red, green, blue = map(float, values)
    return red, green, blue
