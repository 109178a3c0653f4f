"""Optimizer and learning-rate schedule of a TrainingSpec."""

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from adapters.spec import TrainingSpec


def make_optimizer(parameters: Iterable[nn.Parameter], spec: TrainingSpec) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW."""
    if spec.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=spec.lr, weight_decay=spec.weight_decay)
    return torch.optim.SGD(parameters, lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay)


def make_schedule(optimizer: torch.optim.Optimizer, spec: TrainingSpec, steps_per_epoch: int) -> LRScheduler:
    """The learning rate per step."""
    steps = spec.epochs * steps_per_epoch
    if spec.schedule == "one-cycle":
        return OneCycleLR(optimizer, max_lr=spec.lr, total_steps=steps + 1, pct_start=0.15)
    warmup = spec.warmup_epochs * steps_per_epoch
    return LambdaLR(optimizer, lambda step: lr_factor(spec.schedule, step, steps, warmup))


def lr_factor(schedule: str, step: int, steps: int, warmup: int) -> float:
    """What the learning rate is multiplied by at ``step`` of ``steps``.

    It rises linearly over the first ``warmup`` steps. Then "step" divides it by ten after each third of all
    steps, "cosine" brings it down to zero (Loshchilov & Hutter 2017), and "constant" leaves it at 1.
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "step":
        return float(0.1 ** (step // math.ceil(steps / 3)))
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
    return 1.0
