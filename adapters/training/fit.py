"""Fine-tuning, deterministic for a seed and device (a run computes in one thread), even if interrupted."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.eps import eps_text
from adapters.errors import ModelError, about, within
from adapters.images import ImageSet
from adapters.spec import TrainingSpec
from adapters.training import curves
from adapters.training.augment import AUGMENTATIONS
from adapters.training.curves import Epoch, History, Progress
from adapters.training.held_out import HeldOut, Score
from adapters.training.objectives import Loss, Robust, one_step
from adapters.training.optimisation import make_optimizer, make_schedule
from adapters.training.resume import read_state, write_state
from adapters.training.weight_perturbation import perturbed


@within("training")
def fit(
    classifier: Classifier,
    images: ImageSet,
    spec: TrainingSpec,
    *,
    seed: int,
    progress: Progress,
    checkpoint: Path | None = None,
) -> History:
    """Tune the trainable parameters of ``classifier`` on ``images``; returns how it went, epoch by epoch.

    Where ``checkpoint`` holds the state of the same training, it goes on from the last finished epoch, to the
    same result. Raises ModelError if the loss is no longer finite.
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
            done = len(training.epochs)
            progress(done, done if training.finished else spec.epochs, training.epochs[-1])
        training.restore_best()
    classifier.eval()
    return training.history()


class Training:
    """One training and all its state between two epochs."""

    def __init__(self, classifier: Classifier, images: ImageSet, spec: TrainingSpec, seed: int) -> None:
        self.classifier = classifier
        self.spec = spec
        self.generator = torch.Generator().manual_seed(seed)
        self.epochs: list[Epoch] = []
        self.best_score: Score = (float("inf"),)
        self.best_epoch = 0
        self.best: dict[str, Tensor] = {}
        self.x, self.y = torch.from_numpy(images.images), torch.from_numpy(images.labels)
        self.train, held = hold_out(images.labels, spec.held_out, seed=seed)
        self.held_out = HeldOut(self.x[held], self.y[held], spec.batch_size, seed)
        self.adversarial = spec.adversarial
        if self.adversarial:
            self.robust = Robust(
                self.adversarial, classifier, self._logits, self.generator, spec.label_smoothing
            )
        steps = self._count_steps(len(images))
        if spec.amp:
            classifier.to(memory_format=torch.channels_last)
        self.optimizer = make_optimizer([p for p in classifier.parameters() if p.requires_grad], spec)
        self.schedule = make_schedule(self.optimizer, spec, steps)

    def _count_steps(self, images: int) -> int:
        """How many an epoch has. Raises ModelError where there are too few images."""
        steps = len(_batches(self.train, self.spec.batch_size))
        if not steps:
            raise ModelError(
                f"{images} training images are too few: a batch needs two, and more where some are held out"
            )
        if self.spec.held_out and not len(self.held_out):
            key = "adversarial" if self.spec.adversarial else "early_stopping"
            with about(key):
                raise ModelError(
                    f"no class has two training images, so none can be held out; drop training.{key}"
                )
        return steps

    @property
    def finished(self) -> bool:
        """All epochs done, held-out no better for ``patience`` epochs, or one-step training collapsed."""
        stopping, done = self.spec.early_stopping, len(self.epochs)
        if self.adversarial and one_step(self.adversarial) and self.collapsed is not None:
            return True
        return done >= self.spec.epochs or (
            stopping is not None and done - self.best_epoch >= stopping.patience
        )

    @property
    def collapsed(self) -> int | None:
        """The epoch in which adversarial training had collapsed, if it has."""
        return curves.collapsed(self.epochs, float(self.adversarial.eps)) if self.adversarial else None

    def run_epoch(self) -> None:
        """One pass over the training images, and a look at those that are held out, if any are."""
        _train_mode(self.classifier)
        order = self.train[torch.randperm(len(self.train), generator=self.generator)]
        total = 0.0
        for index in _batches(order, self.spec.batch_size):
            total += self._step(self.x[index], self.y[index]) * len(index)
            self.schedule.step()
        loss = total / len(self.train)
        if not np.isfinite(loss):
            with about("lr"):
                epoch = len(self.epochs) + 1
                raise ModelError(
                    f"training diverged: the loss of epoch {epoch} is not finite; lower training.lr"
                )
        self.epochs.append(self._judged(loss))

    def _step(self, x: Tensor, y: Tensor) -> float:
        device = self.classifier.device
        augmented = AUGMENTATIONS[self.spec.augmentation](x.to(device).float() / 255, self.generator)
        loss = self._loss_on(augmented, y.to(device))
        with self._perturbed(loss):
            value = loss()
            self.optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return value.item()

    def _logits(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.spec.amp):
            logits: Tensor = self.classifier(x)
        return logits

    def _loss_on(self, x: Tensor, y: Tensor) -> Loss:
        """The loss of a batch; its adversarials, if any, are crafted here."""
        if self.adversarial:
            return self.robust.prepare(x, y, self._share_of_eps())
        return lambda: F.cross_entropy(self._logits(x), y, label_smoothing=self.spec.label_smoothing)

    def _share_of_eps(self) -> float:
        """It rises linearly over the epochs of its warm-up, and is whole after them."""
        warmup = self.adversarial.eps_warmup_epochs if self.adversarial else 0
        return min(1.0, (len(self.epochs) + 1) / (warmup + 1))

    def _perturbed(self, loss: Loss) -> AbstractContextManager[None]:
        gamma = self.adversarial.awp if self.adversarial else 0
        return perturbed(self.classifier, loss, gamma) if gamma else nullcontext()

    def _judged(self, loss: float) -> Epoch:
        """The epoch that ends; its weights are kept if nothing before was better on what is held out."""
        epoch = Epoch(loss)
        if not len(self.held_out):
            return epoch
        self.classifier.eval()
        if self.adversarial:
            epoch = Epoch(loss, self._share_of_eps() * float(self.adversarial.eps))
            score, epoch = self.held_out.robustness(self.classifier, self.adversarial, epoch)
        else:
            score = self.held_out.loss(self.classifier)
        if score < self.best_score:
            self.best_score, self.best_epoch = score, len(self.epochs) + 1
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in self._tuned().items()}
        return epoch

    def restore_best(self) -> None:
        """Put back the weights of the epoch that was best on what is held out, where anything is."""
        self._put(self.best)

    def history(self) -> History:
        """How it went."""
        losses = tuple(epoch.loss for epoch in self.epochs)
        if not self.adversarial:
            return History(losses)
        spec, (_, eps, clean, fgsm, pgd) = self.adversarial, zip(*map(astuple, self.epochs), strict=True)
        what = spec.method, spec.norm, eps_text(spec.eps), len(self.held_out)
        return History(losses, curves.Robust(*what, eps, clean, fgsm, pgd, self.best_epoch, self.collapsed))

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
            "epochs": [astuple(epoch) for epoch in self.epochs],
            "best": (self.best_score, self.best_epoch, self.best),
            "generator": self.generator.get_state(),
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(self.classifier.device) if cuda else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""
        self._put(state["tuned"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.epochs = [Epoch(*epoch) for epoch in state["epochs"]]
        self.best_score, self.best_epoch, self.best = state["best"]
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["rng"])
        if self.classifier.device.type == "cuda" and state["cuda_rng"] is not None:
            torch.cuda.set_rng_state(state["cuda_rng"], self.classifier.device)


def hold_out(labels: npt.NDArray[np.int64], share: float, *, seed: int) -> tuple[Tensor, Tensor]:
    """Positions of training and validation images: ``share`` of each class, random by ``seed``, is held out.

    At least one image of each class, but never its only one, which would leave the class untrained.
    """
    rng = np.random.default_rng(seed)
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels) if share else ():
        members = rng.permutation(np.flatnonzero(labels == label))
        held[members[: min(len(members) - 1, max(1, round(share * len(members))))]] = True
    return torch.from_numpy(np.flatnonzero(~held)), torch.from_numpy(np.flatnonzero(held))


def _batches(order: Tensor, size: int) -> list[Tensor]:
    """``order`` cut into batches; a last one of one sample is dropped: BatchNorm cannot train on it."""
    return [batch for batch in torch.split(order, size) if len(batch) > 1]


def _train_mode(classifier: Classifier) -> None:
    """Training mode, but a BatchNorm whose parameters are frozen keeps its running statistics.

    An adapter file does not hold them: if they moved, the reloaded model would differ from the trained one.
    """
    classifier.train()
    for module in classifier.modules():
        if isinstance(module, nn.BatchNorm2d) and not module.weight.requires_grad:
            module.eval()
