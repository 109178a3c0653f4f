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
from bench.trust.noise import perturbed

NORMS = ("linf", "l2", "l1")
"""Norms in which a point can be planted at the end of its budget in a random direction."""
ETA = 0.95
"""Share of eps within which the harmless points lie (published)."""


LARGEST_LOGIT = 10.0
"""A twin's largest logit: so certain are trained models; far above, the loss's gradient would vanish in float32."""


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


def make_twins(target: Target, norm: str, eps: float) -> list[Target]:
    """A twin for each sample of ``target``, within ``eps`` in ``norm``: one of NORMS.

    Samples whose planted point cannot be told apart are left out.
    """
    generator = torch.Generator().manual_seed(0)
    twins = (_twin(target, i, norm, eps, generator) for i in range(len(target.samples)))
    return [twin for twin in twins if twin is not None]


def _twin(target: Target, i: int, norm: str, eps: float, generator: torch.Generator) -> Target | None:
    model = target.classifier
    x = torch.from_numpy(target.samples.take(np.array([i])).x).to(model.device)
    planted_point = perturbed(x, norm, eps, generator)
    with torch.inference_mode():
        found = features(model, torch.cat([x, _inside(x, norm, eps, generator), planted_point])).double().cpu().numpy()
    head = _separate(found, np.array([0] * (INNER + 1) + [1]))
    if head is None:
        return None
    twin = Twin(model, *(torch.from_numpy(h).float().to(x.device) for h in head)).eval()
    images = ImageSet(target.samples.images[i : i + 1], np.zeros(1, np.int64), (target.samples.ids[i],), ("inner", "planted"))
    return make_target(twin, images, 1, target.precision)


def _inside(x: Tensor, norm: str, eps: float, generator: torch.Generator) -> Tensor:
    """INNER random points that the planted one must be told apart from: in linf all over the ball, else on its shell.

    In as many dimensions as an image has, nearly all of an l2 ball lies on its shell.
    """
    around = x.expand(INNER, -1, -1, -1)
    if norm == "linf":
        return (x + (torch.rand(around.shape, generator=generator).to(x) * 2 - 1) * eps * ETA).clamp(0, 1)
    return perturbed(around, norm, eps * ETA, generator)


def _separate(points: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Weight and bias of a linear head that gets every point right; None if there is none."""
    centre, scale = points[0], max(float(np.abs(points - points[0]).max()), 1e-12)
    fitted = LogisticRegression(C=1e6, class_weight="balanced", max_iter=1000).fit((points - centre) / scale, labels)
    if fitted.score((points - centre) / scale, labels) < 1:
        return None
    steep = np.abs(fitted.decision_function((points - centre) / scale)).max() / LARGEST_LOGIT
    weight = fitted.coef_[0] / scale / steep
    return weight, np.asarray(fitted.intercept_[0] / steep - weight @ centre)


def planted(unit: Unit, twins: Sequence[Target], eps: Fraction) -> list[Evidence]:
    """How many of the ``twins`` ``unit``'s attack breaks; each can be broken within ``eps``."""
    once = replace(unit, cells=(Cell(eps, "control"),))
    found = sum(int(run_unit(once, twin).records[0].success.sum()) for twin in twins)
    detail = f"{found} of {len(twins)} planted adversarials are found"
    return [Evidence("binarisation", "", 0, None, None, found / max(len(twins), 1), len(twins), detail)]
