"""What a network expects of an image, and who said so."""

from dataclasses import dataclass
from typing import Literal

RGB = tuple[float, float, float]
Origin = Literal["suite", "weights", "architecture", "assumed"]
"""Who said it: the suite; the weights themselves (their file, or the name under which they are published); the settings that
belong to the architecture's published weights; or nobody, so that ImageNet's are assumed."""


@dataclass(frozen=True)
class Preprocessing:
    """The normalisation inside a Classifier, per RGB channel of images in [0, 1], and where it comes from.

    ``size`` is the side in pixels that the weights were made for, None where nobody knows.
    """

    mean: RGB
    std: RGB
    origin: Origin
    size: int | None = None
