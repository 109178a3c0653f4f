"""Which images: the declaration in a suite."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from adapters.strict import Strict

Split = Literal["train", "test", "all"]
Source = Literal["digits", "tiny-imagenet", "cifar10", "cifar100", "imagefolder", "imagenet-samples"]
Interpolation = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
ClassNames = tuple[int | str, ...]


class DataSpec(Strict):
    """A data set, a choice of its classes, and the size of its images.

    ``digits`` is scikit-learn's bundled set of 1,797 handwritten digits (8 x 8), scaled up: no download. ``imagenet-samples``
    are the 20 images that Foolbox bundles. The others are folders under the data root (``bench list data`` names them);
    ``imagefolder`` needs ``path``, the folder's place there.
    ``classes`` names classes, or says how many of the first to take; all by default. Those in ``exclude`` are never taken.
    ``size`` is the images' side in pixels: by default what the backbone's weights were trained on, else the source's own.
    ``interpolation`` scales them to it, after which the central square is kept; of a shorter side that was brought to
    ``size / crop_pct``, as timm has it. Both are by default those of the weights, where these are published with some.
    ``samples`` limits how many test samples are attacked, an equal number of each class as far as there are enough, or
    ``samples_per_class`` how many of each: the first ones for ``seed`` 0, for another one drawn by it. ``train_per_class``
    limits the training images of each class, drawn by ``seed``, which also halves a set that has no test split of its own.
    """

    source: Source = "digits"
    path: str | None = None
    classes: Annotated[int, Field(ge=2)] | Annotated[ClassNames, Field(min_length=2)] | None = None
    exclude: ClassNames = ()
    size: Annotated[int, Field(ge=8, le=512)] | None = None
    interpolation: Interpolation | None = None
    crop_pct: Annotated[float, Field(gt=0, le=1)] | None = None
    samples: Annotated[int, Field(ge=1)] | None = None
    samples_per_class: Annotated[int, Field(ge=1)] | None = None
    train_per_class: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _one_limit(self) -> "DataSpec":
        if self.samples and self.samples_per_class:
            raise PydanticCustomError("limit", "has both samples and samples_per_class; give one of them")
        return self

    @model_validator(mode="after")
    def _path_where_needed(self) -> "DataSpec":
        if (self.source == "imagefolder") != (self.path is not None):
            problem = "needs path, the folder under the data root" if self.path is None else "has its own folder: drop path"
            raise PydanticCustomError("path", "source '{source}' {problem}", {"source": self.source, "problem": problem})
        return self
