"""Are the models those that the suite's author has in mind? Asked before hours of attacks, not after."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from adapters.cache.card import Card
from bench.errors import MissedError
from bench.executors.executor import Executor
from bench.ids import ModelId
from bench.scoring.labels import check_labels

if TYPE_CHECKING:
    from adapters.classifier import Predictions
    from bench.engine.job import Job
    from bench.suite.expectation import Expectation

CAUSES = "class order, normalisation, image size, or other weights than those meant"


def check_expected(job: "Job", models: Mapping[ModelId, Card], executor: Executor) -> None:
    """Raise MissedError if one of ``models`` has another clean accuracy than the suite expects of it.

    Those of which nothing is expected are not even loaded.
    """
    expected = {m.name: (i, m.expect_accuracy) for i, m in enumerate(job.suite.models) if m.expect_accuracy}
    asked = {model: card for model, card in models.items() if model.name in expected}
    for model, clean in executor.clean(job, asked).items():
        place, expectation = expected[model.name]
        right, n = int(np.count_nonzero(clean.pred == job.samples.labels)), len(job.samples)
        if not expectation.allows(right, n):
            message = (
                f"{job.title(model)}: {_missed(right, n, expectation)}; {_cause(job, clean)}; nothing was"
                " attacked"
            )
            raise MissedError(message, ("models", place, "expect_accuracy"))


def _missed(right: int, n: int, expected: "Expectation") -> str:
    allowed = f"{expected.value:g} ({expected.allowed(n)})"
    return f"the clean accuracy is {right / n:.3f} ({right} of {n} samples), expected {allowed}"


def _cause(job: "Job", clean: "Predictions") -> str:
    """What the labels tell, else what it mostly is."""
    found = check_labels(job.samples.labels, clean.pred, float(clean.prob.mean()), job.samples.classes)
    return found.detail if found.grade in ("fail", "warn") else f"likely causes: {CAUSES}"
