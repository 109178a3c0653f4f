"""A defended model as it meets an attack that knows its defences."""

from dataclasses import replace

from adapters.defences.adaptive import known
from adapters.defences.defended import Defended
from adapters.defences.ways import Way
from bench.engine.runner import Target


def adaptive_target(target: Target, way: Way, draws: int) -> Target:
    """``target``, a defended model, attacked in ``way`` with ``draws`` a gradient, and judged as it is.

    Its batches are smaller by as many branches as each image then takes at once.
    """
    model = target.classifier
    if not isinstance(model, Defended):
        raise TypeError(f"{type(model).__name__} has no defences to be known")
    branches = len(model.inner) * (draws if model.stack.sampled else 1)
    size = max(target.batch_size // branches, 1)
    smaller = replace(target, batch_size=size)
    return replace(smaller, source=replace(smaller, classifier=known(model, way, draws)))
