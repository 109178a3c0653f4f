"""The binarisation test (Zimmermann et al. 2022): an attack must find an adversarial that we planted."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.images import ImageSet
from bench.evidence import Evidence
from bench.plan import Cell, Unit
from bench.runner import Target, make_target, run_unit
from bench.trust.effort import INNER

ETA = 0.95
"""Share of eps within which the harmless points lie (published)."""


class Twin(Classifier):
    """The model's features with a head of two classes: 0 around one sample, 1 at a planted point within eps of it."""

    weight: Tensor
    offset: Tensor

    def __init__(self, model: Classifier, weight: Tensor, bias: Tensor) -> None:
        nn.Module.__init__(self)
        self.model = model
        self.num_classes = 2
        self.register_buffer("weight", weight)
        self.register_buffer("offset", bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of ``x``, N x 2."""
        score = features(self.model, x) @ self.weight + self.offset
        return torch.stack([torch.zeros_like(score), score], dim=1)


def features(model: Classifier, x: Tensor) -> Tensor:
    """What goes into the last linear layer of ``model``: N x features; its logits where there is no such layer."""
    seen: list[Tensor] = []
    last = _last_linear(model)
    if last is None:
        logits: Tensor = model(x)
        return logits
    hook = last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        model(x)
    finally:
        hook.remove()
    return seen[-1].flatten(1)


def _last_linear(model: nn.Module) -> nn.Linear | None:
    return next((m for m in reversed(list(model.modules())) if isinstance(m, nn.Linear)), None)


def make_twins(target: Target, eps: float) -> list[Target]:
    """A twin for each sample of ``target``, in linf; samples whose planted point cannot be told apart are left out."""
    generator = torch.Generator().manual_seed(0)
    twins = (_twin(target, i, eps, generator) for i in range(len(target.samples)))
    return [twin for twin in twins if twin is not None]


def _twin(target: Target, i: int, eps: float, generator: torch.Generator) -> Target | None:
    model = target.classifier
    x = torch.from_numpy(target.samples.take(np.array([i])).x).to(model.device)
    shape = (INNER, *x.shape[1:])
    inner = (x + (torch.rand(shape, generator=generator).to(x) * 2 - 1) * eps * ETA).clamp(0, 1)
    corner = (x + (torch.randint(0, 2, x.shape, generator=generator).to(x) * 2 - 1) * eps).clamp(0, 1)
    with torch.inference_mode():
        found = features(model, torch.cat([x, inner, corner])).double().cpu().numpy()
    head = _separate(found, np.array([0] * (INNER + 1) + [1]))
    if head is None:
        return None
    twin = Twin(model, *(torch.from_numpy(h).float().to(x.device) for h in head)).eval()
    images = ImageSet(target.samples.images[i : i + 1], np.zeros(1, np.int64), (target.samples.ids[i],), ("inner", "planted"))
    return make_target(twin, images, 1, target.precision)


def _separate(points: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Weight and bias of a linear head that gets every point right; None if there is none."""
    centre, scale = points[0], max(float(np.abs(points - points[0]).max()), 1e-12)
    fitted = LogisticRegression(C=1e6, class_weight="balanced", max_iter=1000).fit((points - centre) / scale, labels)
    if fitted.score((points - centre) / scale, labels) < 1:
        return None
    weight = fitted.coef_[0] / scale
    return weight, np.asarray(fitted.intercept_[0] - weight @ centre)


def planted(unit: Unit, twins: Sequence[Target], eps: Fraction) -> list[Evidence]:
    """How many of the ``twins`` ``unit``'s attack breaks; each can be broken within ``eps``."""
    if not twins:
        return []
    once = replace(unit, cells=(Cell(eps, "control"),))
    found = sum(int(run_unit(once, twin).records[0].success.sum()) for twin in twins)
    detail = f"{found} of {len(twins)} planted adversarials are found"
    return [Evidence("binarisation", "", 0, None, None, found / len(twins), len(twins), detail)]
