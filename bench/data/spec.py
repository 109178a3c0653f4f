"""Which images: the declaration in a suite."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from adapters.declaration import Declaration

Split = Literal["train", "test", "all"]
Source = Literal["digits", "tiny-imagenet", "cifar10", "cifar100", "imagefolder", "imagenet-samples", "given"]
Interpolation = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
ClassNames = tuple[int | str, ...]


class DataSpec(Declaration):
    """A data set, a choice of its classes, and the size of its images.

    ``digits`` is scikit-learn's bundled set of 1,797 handwritten digits (8 x 8), scaled up: no download.
    ``imagenet-samples`` are the 20 images that Foolbox bundles. ``given`` are those of a script
    (``bench.evaluate``), which no file can name. The others are folders under the data root (``bench list
    data`` names them); ``imagefolder`` needs ``path``, the folder's place there: of train/ and test/ or val/,
    or of the class folders themselves. ``classes`` names classes, or says how many of the first to take; all
    by default. Those in ``exclude`` are never taken. ``size`` is the images' side in pixels: by default what
    the backbone's weights were trained on, else the source's own; that of an imagefolder is its images' own
    where they agree on one from 8 to 512, else 224. ``interpolation`` scales them to it, after which the
    central square is kept; of a shorter side that was brought to ``size / crop_pct``, as timm has it. Both
    are by default those of the weights, where these are published with some. ``samples`` limits how many test
    samples are attacked, an equal number of each class as far as there are enough, or ``samples_per_class``
    how many of each: the first ones for ``seed`` 0, for another one drawn by it. ``train_per_class`` limits
    the training images of each class, drawn by ``seed``, which also halves a set that has no test split of
    its own: the digits, and class folders alone where a model of the suite is trained on them.
    """

    source: Source = "digits"
    path: str | None = None
    classes: Annotated[int, Field(ge=2)] | Annotated[ClassNames, Field(min_length=2)] | None = None
    exclude: ClassNames = ()
    size: Annotated[int, Field(ge=8, le=512)] | None = None
    interpolation: Interpolation | None = None
    crop_pct: Annotated[float, Field(ge=0.1, le=1)] | None = None
    samples: Annotated[int, Field(ge=1)] | None = None
    samples_per_class: Annotated[int, Field(ge=1)] | None = None
    train_per_class: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0

    @field_validator("classes", "exclude", mode="before")
    @classmethod
    def _names_are_text(cls, value: Any) -> Any:
        """YAML reads no, off, 1.0, 2024-01-01 and null without quotes as something else than these names."""
        for name in value if isinstance(value, list | tuple) else ():
            if isinstance(name, bool) or not isinstance(name, int | str):
                kind = (
                    "booleans (true or false)"
                    if isinstance(name, bool)
                    else f"{str(name)[:40]} ({type(name).__name__})"
                )
                raise PydanticCustomError(
                    "class_name",
                    "holds names that YAML reads as {kind} without quotes; quote them, like ['no', 'yes']",
                    {"kind": kind},
                )
        return value

    @model_validator(mode="after")
    def _one_limit(self) -> "DataSpec":
        if self.samples and self.samples_per_class:
            raise PydanticCustomError("limit", "has both samples and samples_per_class; give one of them")
        return self

    @model_validator(mode="after")
    def _path_where_needed(self) -> "DataSpec":
        if (self.source == "imagefolder") != (self.path is not None):
            problem = (
                "needs path, the folder under the data root"
                if self.path is None
                else "has its own folder: drop path"
            )
            raise PydanticCustomError(
                "path", "source '{source}' {problem}", {"source": self.source, "problem": problem}
            )
        return self
