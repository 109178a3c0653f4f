"""A call of ``bench.evaluate`` -> a suite, a job and its run."""

import atexit
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from adapters.images import ImageSet
from bench.api.in_memory import InMemoryModels, as_classifier, given_job
from bench.api.pipeline import choose_device, run_job
from bench.engine import interrupt
from bench.engine.options import Options
from bench.engine.progress import on_stderr
from bench.errors import UserError
from bench.executors.crew import on_this_machine
from bench.store import check_writable
from bench.suite.suite import Suite, suite_from


@dataclass(frozen=True)
class Question:
    """What is asked of the models: all that a suite says but for its data and models."""

    name: str
    attacks: tuple[str | Mapping[str, Any], ...]
    eps: tuple[str | float, ...]
    headline_eps: str | float | None
    libraries: tuple[str, ...] | None
    trust: str
    seed: int
    batch_size: int | None
    defended: Mapping[str, Mapping[str, Any]]

    def suite(self, models: Sequence[str]) -> Suite:
        """The question about ``models``, and those with defences around them, as a suite.

        Raises UserError if it cannot be.
        """
        own = [{"name": model, "adaptation": {"method": "none"}} for model in models]
        said = {key: value for key, value in vars(self).items() if value is not None and key != "defended"}
        return suite_from(
            {
                **said,
                "attacks": [{"attack": a} if isinstance(a, str) else dict(a) for a in self.attacks],
                "data": {"source": "given"},
                "backbone": {},
                "models": [*own, *({"name": name, **declared} for name, declared in self.defended.items())],
            }
        )


def evaluate_models(
    question: Question,
    models: Mapping[str, nn.Module],
    samples: ImageSet,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    device: str,
    results: str | Path | None,
    workers: int | None = None,
) -> Path:
    """Run ``question`` on ``models`` and ``samples``, and return the folder of the run. Raises UserError."""
    if not models:
        raise UserError("model: none given; give a torch.nn.Module, or several by name")
    device = choose_device(device)
    suite = question.suite(list(models))
    whole = {name: as_classifier(model, samples, mean, std, device) for name, model in models.items()}
    folder = Path(results or _temporary_folder())
    zoo, progress = InMemoryModels(whole, samples, device), on_stderr()
    with interrupt.deferred(), on_this_machine(zoo, progress, workers, fresh=True) as executor:
        check_writable(folder)
        return run_job(given_job(suite, samples), Options(folder, device, fresh=True), executor).path


def _temporary_folder() -> str:
    """A new folder, which goes when this process ends."""
    folder = tempfile.mkdtemp(prefix="bench-evaluate-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
