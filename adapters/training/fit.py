"""Fine-tuning: deterministic for a seed, device and thread count, also when it is interrupted and goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.errors import ModelError, about, within
from adapters.images import ImageSet
from adapters.spec import TrainingSpec
from adapters.training.augment import AUGMENTATIONS
from adapters.training.optimisation import make_optimizer, make_schedule
from adapters.training.resume import read_state, write_state

Progress = Callable[[int, int, float], None]
"""Called after each epoch with (epochs done, epochs in all, mean loss); the two are equal once training ends."""


@within("training")
def fit(
    classifier: Classifier,
    images: ImageSet,
    spec: TrainingSpec,
    *,
    seed: int,
    progress: Progress,
    checkpoint: Path | None = None,
) -> list[float]:
    """Tune the trainable parameters of ``classifier`` on ``images``; returns the mean loss of each epoch.

    Where ``checkpoint`` holds the state of the same training, it goes on from the last finished epoch, to the same result.
    Raises ModelError if the loss is no longer finite.
    """
    device = classifier.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)  # dropout
        training = Training(classifier, images, spec, seed)
        state = read_state(checkpoint) if checkpoint else None
        if state:
            training.load_state_dict(state)
        while not training.finished:
            training.run_epoch()
            if checkpoint:
                write_state(checkpoint, training.state_dict())
            done = len(training.losses)
            progress(done, done if training.finished else spec.epochs, training.losses[-1])
        training.restore_best()
    classifier.eval()
    return training.losses


class Training:
    """One training and all its state between two epochs."""

    def __init__(self, classifier: Classifier, images: ImageSet, spec: TrainingSpec, seed: int) -> None:
        self.classifier = classifier
        self.spec = spec
        self.generator = torch.Generator().manual_seed(seed)
        self.losses: list[float] = []
        self.best_loss = float("inf")
        self.best_epoch = 0
        self.best: dict[str, Tensor] = {}
        self.x, self.y = torch.from_numpy(images.images), torch.from_numpy(images.labels)
        share = spec.early_stopping.validation if spec.early_stopping else 0
        self.train, self.validation = hold_out(images.labels, share, seed=seed)
        steps = len(_batches(self.train, spec.batch_size))
        if not steps:
            raise ModelError(f"{len(images)} training images are too few: a batch needs two, and more where some are held out")
        if share and not len(self.validation):
            with about("early_stopping"):
                raise ModelError("no class has two training images, so that none can be held out; drop training.early_stopping")
        if spec.amp:
            classifier.to(memory_format=torch.channels_last)
        self.optimizer = make_optimizer([p for p in classifier.parameters() if p.requires_grad], spec)
        self.schedule = make_schedule(self.optimizer, spec, steps)

    @property
    def finished(self) -> bool:
        """All epochs are done, or the validation loss has not fallen for ``patience`` epochs."""
        stopping, done = self.spec.early_stopping, len(self.losses)
        return done >= self.spec.epochs or (stopping is not None and done - self.best_epoch >= stopping.patience)

    def run_epoch(self) -> None:
        """One pass over the training images, and the validation loss where training may stop early."""
        _train_mode(self.classifier)
        order = self.train[torch.randperm(len(self.train), generator=self.generator)]
        total = 0.0
        for index in _batches(order, self.spec.batch_size):
            total += self._step(self.x[index], self.y[index]) * len(index)
            self.schedule.step()
        self.losses.append(total / len(self.train))
        if not np.isfinite(self.losses[-1]):
            with about("lr"):
                raise ModelError(f"training diverged: the loss of epoch {len(self.losses)} is not finite; lower training.lr")
        if self.spec.early_stopping:
            self._validate()

    def _step(self, x: Tensor, y: Tensor) -> float:
        device = self.classifier.device
        augmented = AUGMENTATIONS[self.spec.augmentation](x.to(device).float() / 255, self.generator)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.spec.amp):
            logits = self.classifier(augmented)
        loss = F.cross_entropy(logits, y.to(device), label_smoothing=self.spec.label_smoothing)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.item()

    @torch.inference_mode()
    def _validate(self) -> None:
        self.classifier.eval()
        device, total = self.classifier.device, 0.0
        for index in torch.split(self.validation, self.spec.batch_size):
            logits = self.classifier(self.x[index].to(device).float() / 255)
            total += F.cross_entropy(logits, self.y[index].to(device), reduction="sum").item()
        if total < self.best_loss:
            self.best_loss, self.best_epoch = total, len(self.losses)
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in self._tuned().items()}

    def restore_best(self) -> None:
        """Put back the weights of the epoch with the lowest validation loss, where training may stop early."""
        self._put(self.best)

    def _tuned(self) -> dict[str, Tensor]:
        """Everything that training changes in the network."""
        parameters = {name: p for name, p in self.classifier.named_parameters() if p.requires_grad}
        return {**parameters, **dict(self.classifier.named_buffers())}

    @torch.no_grad()
    def _put(self, values: dict[str, Tensor]) -> None:
        tuned = self._tuned()
        for name, value in values.items():
            tuned[name].copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """The whole state after a finished epoch, as tensors and plain values."""
        cuda = self.classifier.device.type == "cuda"
        return {
            "tuned": {name: tensor.detach() for name, tensor in self._tuned().items()},
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "losses": self.losses,
            "best": (self.best_loss, self.best_epoch, self.best),
            "generator": self.generator.get_state(),
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(self.classifier.device) if cuda else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""
        self._put(state["tuned"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.losses = list(state["losses"])
        self.best_loss, self.best_epoch, self.best = state["best"]
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["rng"])
        if self.classifier.device.type == "cuda" and state["cuda_rng"] is not None:
            torch.cuda.set_rng_state(state["cuda_rng"], self.classifier.device)


def hold_out(labels: npt.NDArray[np.int64], share: float, *, seed: int) -> tuple[Tensor, Tensor]:
    """Positions of the training and the validation images: ``share`` of each class, at random by ``seed``, is held out.

    At least one image of each class, but never its only one, which would leave the class untrained.
    """
    rng = np.random.default_rng(seed)
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels) if share else ():
        members = rng.permutation(np.flatnonzero(labels == label))
        held[members[: min(len(members) - 1, max(1, round(share * len(members))))]] = True
    return torch.from_numpy(np.flatnonzero(~held)), torch.from_numpy(np.flatnonzero(held))


def _batches(order: Tensor, size: int) -> list[Tensor]:
    """``order`` cut into batches; a last one of a single sample is dropped, since BatchNorm cannot train on it."""
    return [batch for batch in torch.split(order, size) if len(batch) > 1]


def _train_mode(classifier: Classifier) -> None:
    """Training mode, but a BatchNorm whose parameters are frozen keeps its running statistics.

    An adapter file does not hold them: if they moved, the reloaded model would differ from the trained one.
    """
    classifier.train()
    for module in classifier.modules():
        if isinstance(module, nn.BatchNorm2d) and not module.weight.requires_grad:
            module.eval()
