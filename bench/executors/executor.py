"""What a place where units run has to offer."""

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from adapters.cache.card import Card
    from adapters.cache.source import ModelSource
    from adapters.classifier import Predictions
    from bench.engine.job import Job
    from bench.engine.plan import Unit
    from bench.ids import ModelId
    from bench.store import OpenRun


class Executor(Protocol):
    """Trains models and runs units."""

    @property
    def zoo(self) -> "ModelSource":
        """The trained models, as this process sees them."""
        ...

    def surroundings(self, job: "Job") -> dict[str, Any]:
        """With what units run. Raises UserError if they cannot run there as the suite asks."""
        ...

    def train(self, job: "Job") -> "dict[ModelId, Card]":
        """Train the models of ``job`` that are not trained yet; the cards of all."""
        ...

    def clean(self, job: "Job", models: "dict[ModelId, Card]") -> "dict[ModelId, Predictions]":
        """What ``models``, trained as their cards say, make of the samples before any attack."""
        ...

    def attack(self, job: "Job", run: "OpenRun", units: "list[Unit]", chosen: "list[Unit]") -> None:
        """Run those of ``chosen`` with missing cells, and examine each attacked model of ``units``."""
        ...
