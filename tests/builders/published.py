"""Published runs made by hand, of which every share is known."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from bench.scoring.published import (
    PUBLISHED_VERSION,
    Published,
    PublishedCell,
    PublishedModel,
    from_text,
    pack_bits,
    pack_levels,
    to_text,
)

EPS = Fraction(8, 255)
N = 100
Broken = Mapping[tuple[str, str], Sequence[int]]


def first(count: int) -> np.ndarray:
    """The first ``count`` of the samples."""
    return np.arange(N) < count


def published(suite: str, broken: Broken, certainty: Mapping[str, float] | None = None) -> Published:
    """By model and attack, how many samples each training's model loses, of 100 that all get right.

    ``certainty`` is that under each attack, 0.5 by default; before it, it is 0.75.
    """
    names = list(dict.fromkeys(model for model, _ in broken))
    seeds = len(next(iter(broken.values())))
    before, right = pack_levels(np.full(N, 0.75)), pack_bits(first(N))
    facts = {"method": "lora", "trainable_parameters": 5, "parameters": 100, "of": (), "passes": 1}
    models = [
        PublishedModel(m, s, sha256=f"{m}{s}", trust="pass", correct=right, certainty=before, **facts)  # type: ignore[arg-type]
        for m in names
        for s in range(seeds)
    ]
    cells = [
        PublishedCell(
            m, s, attack, EPS, "linf", "", "pass", True, pack_bits(first(counts[s])),
            None if attack == "worst case" else pack_levels(np.full(N, (certainty or {}).get(attack, 0.5)))
        )
        for (m, attack), counts in broken.items()
        for s in range(seeds)
    ]  # fmt: skip
    made = Published(
        PUBLISHED_VERSION, suite, "run", "complete", EPS, {"name": suite}, N, None, (), 60.0, {"agree": 4},
        tuple(models), tuple(cells),
    )  # fmt: skip
    return from_text(to_text(made), suite)
