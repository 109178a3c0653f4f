"""The models of a job, made ready to be attacked."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from adapters.cache.source import ModelSource
from bench.errors import UserError
from bench.ids import ModelId

if TYPE_CHECKING:
    from adapters.classifier import Classifier, Predictions
    from bench.engine.job import Job
    from bench.engine.runner import Target

BACKBONE = "the unadapted backbone"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A model as trained (``raw``), and as it is attacked (``target``)."""

    raw: "Classifier"
    target: "Target"


class Models:
    """The models of a job, loaded when asked for; those that the last question did not name are let go.

    ``planned`` has the sha256 of each: a model of another content raises ModelError.
    """

    def __init__(self, job: "Job", zoo: ModelSource, planned: Mapping[ModelId, str]) -> None:
        self._job = job
        self._zoo = zoo
        self._planned = planned
        self._loaded: dict[ModelId, Loaded] = {}

    def load(self, *models: ModelId) -> list[Loaded]:
        """``models``, in that order."""
        self._loaded = {
            model: one for model, one in self._loaded.items() if model in models
        }  # free the others' memory first
        for model in models:
            if model not in self._loaded:
                self._loaded[model] = loaded = _prepare(self._job, self._as_trained(model))
                title, batch = self._job.title(model), loaded.target.batch_size
                log.info("%s: attacked in %s, in batches of %d", title, self._job.suite.precision, batch)
        return [self._loaded[model] for model in models]

    def siblings(self, model: ModelId) -> "list[tuple[str, Callable[[], Classifier | None]]]":
        """The other models of the same training seed, each with what loads it as trained; they are not kept.

        Where there is none, the backbone that ``model`` was trained on, if there is one.
        """
        different = [
            o for o in self._planned if o.seed == model.seed and self._planned[o] != self._planned[model]
        ]
        others = [other for other in different if self._job.stack(other) is None]
        if not others:
            return [(BACKBONE, partial(self._zoo.unadapted, self._job.recipes[model], self._planned[model]))]
        return [(other.name, partial(self._as_trained, other)) for other in others]

    def _as_trained(self, model: ModelId) -> "Classifier":
        """``model`` as it was trained, with its defences around it."""
        from adapters.defences.defended import Defended

        members = [self._zoo.load(self._job.recipes[m], self._planned[m]) for m in self._job.members(model)]
        stack = self._job.stack(model)
        return Defended(stack, members).eval() if stack else members[0]


def clean_predictions(job: "Job", zoo: ModelSource, model: ModelId, sha256: str) -> "Predictions":
    """What ``model`` says of the samples before it is attacked. Raises UserError if that is not a number."""
    from bench.engine.runner import AttackError

    try:
        (loaded,) = Models(job, zoo, {model: sha256}).load(model)
    except AttackError as error:
        raise UserError(str(error)) from None
    return loaded.target.clean


def _prepare(job: "Job", classifier: "Classifier") -> Loaded:
    import numpy as np

    from bench.engine.judging import judging_of
    from bench.engine.prepare import prepare
    from bench.engine.runner import AttackError

    suite = job.suite
    target = prepare(classifier, job.samples, suite.batch_size, suite.precision, judging_of(suite))
    broken = int((~np.isfinite(target.clean.prob)).sum())
    if broken:
        raise AttackError(
            f"the model's predictions are not finite (NaN) on {broken} of {len(job.samples)} unattacked"
            " samples"
        )
    return Loaded(classifier, target)
