"""Sentences about a set for its reader: what was found, taken and made of it, where that may surprise."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.data.choose import Index
from bench.data.raw import RawSet
from bench.data.spec import DataSpec


def about_parts(raw: RawSet, whole: Index, pool: Index, spec: DataSpec) -> tuple[str, ...]:
    """How a folder without parts is divided: of its positions ``whole``, ``pool`` may be attacked."""
    if raw.division != "none":
        return ()
    name = Path(spec.path or spec.source).absolute().name
    if len(pool) == len(whole):
        return (
            (
                f"{name} has no parts: all of its images may be attacked, also those that given weights were"
                " trained on"
            ),
        )
    return (
        (
            f"{name} has no parts: {len(pool)} of its {len(whole)} images may be attacked, the others are"
            " trained on"
        ),
    )


def about_samples(labels: Index, names: Sequence[str], spec: DataSpec) -> tuple[str, ...]:
    """What to say where there are fewer samples than asked for, of all classes or of some.

    ``labels`` are all there are.
    """
    counts = np.bincount(labels, minlength=len(names))
    if spec.samples and spec.samples > len(labels):
        return (f"samples: {spec.samples} asked for, {len(labels)} are there: {_per_class(counts, names)}",)
    wanted = spec.samples_per_class or (spec.samples or 0) // len(names)
    if counts.min() >= wanted:
        return ()
    asked = f"samples_per_class: {wanted}" if spec.samples_per_class else f"samples: {spec.samples}"
    return (f"{asked} asked for, some classes have fewer than {wanted}: {_per_class(counts, names)}",)


def _per_class(counts: Index, names: Sequence[str]) -> str:
    if counts.min() == counts.max():
        return f"{counts[0]} of each class"
    few = sorted(zip(counts.tolist(), names, strict=True))[:10]
    more = f", more of the {len(names) - len(few)} others" if len(names) > len(few) else ""
    return ", ".join(f"{count} of {name}" for count, name in few) + more
