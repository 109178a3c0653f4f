"""Fine-tuning: deterministic for a seed, device and thread count."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from adapters.augment import AUGMENTATIONS
from adapters.classifier import Classifier
from adapters.images import ImageSet
from adapters.spec import TrainingSpec

Progress = Callable[[int, int, float], None]
"""Called after each epoch with (epochs done, epochs in all, mean loss)."""


def fit(classifier: Classifier, images: ImageSet, spec: TrainingSpec, *, seed: int, progress: Progress) -> list[float]:
    """Tune the trainable parameters of ``classifier`` on ``images``; returns the mean loss of each epoch."""
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.from_numpy(images.images), torch.from_numpy(images.labels)
    parameters = [p for p in classifier.parameters() if p.requires_grad]
    optimizer = _optimizer(parameters, spec)
    schedule = _schedule(optimizer, spec, steps_per_epoch=len(_batches(torch.arange(len(images)), spec.batch_size)))
    losses = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # dropout
        for epoch in range(spec.epochs):
            _train_mode(classifier)
            batches = _batches(torch.randperm(len(images), generator=generator), spec.batch_size)
            total = 0.0
            for index in batches:
                total += _step(classifier, x[index], y[index], spec, optimizer, generator) * len(index)
                schedule.step()
            losses.append(total / len(images))
            progress(epoch + 1, spec.epochs, losses[-1])
    classifier.eval()
    return losses


def _step(
    classifier: Classifier,
    x: Tensor,
    y: Tensor,
    spec: TrainingSpec,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> float:
    device = classifier.device
    augmented = AUGMENTATIONS[spec.augmentation](x.to(device).float() / 255, generator)
    loss = F.cross_entropy(classifier(augmented), y.to(device))
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.item()


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


def _optimizer(parameters: list[nn.Parameter], spec: TrainingSpec) -> torch.optim.Optimizer:
    if spec.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=spec.lr, weight_decay=spec.weight_decay)
    return torch.optim.SGD(parameters, lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay)


def _schedule(optimizer: torch.optim.Optimizer, spec: TrainingSpec, steps_per_epoch: int) -> LRScheduler:
    """The learning rate per step: "step" divides by ten after each third of the epochs, "one-cycle" as Smith & Topin."""
    steps = spec.epochs * steps_per_epoch
    if spec.schedule == "one-cycle":
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=spec.lr, total_steps=steps + 1, pct_start=0.15)
    if spec.schedule == "step":
        return torch.optim.lr_scheduler.StepLR(optimizer, step_size=math.ceil(steps / 3), gamma=0.1)
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
