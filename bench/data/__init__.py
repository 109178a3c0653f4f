"""Data declarations -> ImageSet."""

from adapters.images import ImageSet
from bench.data.digits import load_digits_set
from bench.data.spec import DataSpec, Split

__all__ = ["DataSpec", "ImageSet", "Split", "load"]


def load(spec: DataSpec, split: Split) -> ImageSet:
    """The images that ``spec`` declares, of its train split, its test split, or both ("all")."""
    return load_digits_set(spec, split)
