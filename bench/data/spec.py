"""Which images: the declaration in a suite."""

from typing import Annotated, Literal

from pydantic import Field

from adapters.strict import Strict

Split = Literal["train", "test", "all"]


class DataSpec(Strict):
    """A data set, a choice of its classes, and the size of its images.

    ``digits`` is scikit-learn's bundled set of 1,797 handwritten digits (8 x 8), scaled up: no download.
    ``samples`` limits how many test samples are attacked, an equal number of each class as far as there are enough.
    """

    source: Literal["digits"] = "digits"
    classes: Annotated[tuple[int, ...], Field(min_length=2)]
    size: Annotated[int, Field(ge=8, le=512)] = 32
    samples: Annotated[int, Field(ge=1)] | None = None
    seed: int = 0
