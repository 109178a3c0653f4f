"""The binarisation test (Zimmermann et al. 2022): an attack must find an adversarial that we planted."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from adapters.classifier import Classifier, tensors
from adapters.images import ImageSet
from bench.engine.plan import Cell, Unit
from bench.engine.runner import Target, make_target, run_unit
from bench.store.evidence import Evidence
from bench.trust.effort import INNER
from bench.trust.noise import perturbed

NORMS = ("linf", "l2", "l1")
"""Norms in which a point can be planted at the end of its budget in a random direction."""
ETA = 0.95
"""Share of eps within which the harmless points lie (published)."""


class Twins(Classifier):
    """The model's features with heads of two classes, one for each anchor.

    Class 0 is around it, 1 at a planted point within its ball. ``anchors``: K x C x H x W; ``weight``: K x
    features; ``offset``: K. An image goes to the head of its nearest anchor in ``norm``, so that all twins
    are attacked as one batch, however an attack cuts it.
    """

    anchors: Tensor
    weight: Tensor
    offset: Tensor

    def __init__(self, model: Classifier, norm: str, anchors: Tensor, weight: Tensor, offset: Tensor) -> None:
        nn.Module.__init__(self)
        self.model, self.norm = model, norm
        self.num_classes = 2
        self.register_buffer("anchors", anchors)
        self.register_buffer("weight", weight)
        self.register_buffer("offset", offset)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of ``x``, N x 2."""
        own = distances(x.detach(), self.anchors, self.norm).argmin(1)
        score = (features(self.model, x) * self.weight[own]).sum(1) + self.offset[own]
        return torch.stack([torch.zeros_like(score), score], dim=1)


def distances(a: Tensor, b: Tensor, norm: str) -> Tensor:
    """Of every image in ``a`` to every one in ``b``: N x K."""
    return torch.cdist(a.flatten(1), b.flatten(1), p={"linf": torch.inf, "l2": 2.0, "l1": 1.0}[norm])


def features(model: Classifier, x: Tensor) -> Tensor:
    """What goes into the last linear layer of ``model``: N x features.

    Its logits where no such layer sees each image once.
    """
    seen: list[Tensor] = []
    last = last_linear(model)
    if last is None:
        return torch.as_tensor(model(x))
    hook = last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        logits: Tensor = model(x)
    finally:
        hook.remove()
    return seen[-1].flatten(1) if seen and len(seen[-1]) == len(x) else logits


def last_linear(model: nn.Module) -> nn.Linear | None:
    """The linear layer of ``model`` that was made last, as a rule its head; None if there is none."""
    return next((m for m in reversed(list(model.modules())) if isinstance(m, nn.Linear)), None)


def make_twins(target: Target, norm: str, eps: float) -> Target | None:
    """A twin for each sample of ``target``, within ``eps`` in ``norm``: one of NORMS. None if there is none.

    Samples are left out whose planted point cannot be told apart, or whose ball meets that of one before.
    """
    generator = torch.Generator().manual_seed(0)
    x, _ = tensors(target.samples, target.classifier.device)
    heads = {i: _head(target.classifier, x[i : i + 1], norm, eps, generator) for i in _apart(x, norm, eps)}
    kept = np.array([i for i, head in heads.items() if head is not None], np.int64)
    if not len(kept):
        return None
    weight, offset = (
        torch.stack(parts)
        for parts in zip(*(head for head in heads.values() if head is not None), strict=True)
    )
    twins = Twins(target.classifier, norm, x[kept], weight, offset).eval()
    ids = tuple(target.samples.ids[i] for i in kept)
    images = ImageSet(target.samples.images[kept], np.zeros(len(kept), np.int64), ids, ("inner", "planted"))
    return make_target(twins, images, len(kept), target.precision)


def _apart(x: Tensor, norm: str, eps: float) -> list[int]:
    """Which of ``x`` (N x C x H x W), in order, lie more than two ``eps`` from all of those before."""
    kept: list[int] = []
    for i in range(len(x)):
        if not kept or float(distances(x[i : i + 1], x[kept], norm).min()) > 2 * eps:
            kept.append(i)
    return kept


def _head(
    model: Classifier, x: Tensor, norm: str, eps: float, generator: torch.Generator
) -> tuple[Tensor, Tensor] | None:
    """Weight and offset of the head of ``x``'s twin (1 x C x H x W); None if no head tells its points apart.

    The twin is as certain as the model is: where the model's loss saturates, so does the twin's.
    """
    planted_point = perturbed(x, norm, eps, generator)
    with torch.inference_mode():
        found = (
            features(model, torch.cat([x, _inside(x, norm, eps, generator), planted_point]))
            .double()
            .cpu()
            .numpy()
        )
        logits = model(x)
    head = _separate(found, np.array([0] * (INNER + 1) + [1]), float(logits.max() - logits.min()))
    return None if head is None else (torch.from_numpy(head[0]).to(x), torch.from_numpy(head[1]).to(x))


def _inside(x: Tensor, norm: str, eps: float, generator: torch.Generator) -> Tensor:
    """INNER random points to be told from the planted one: in linf all over the ball, else on its shell.

    In as many dimensions as an image has, nearly all of an l2 ball lies on its shell.
    """
    around = x.expand(INNER, -1, -1, -1)
    if norm == "linf":
        return (x + (torch.rand(around.shape, generator=generator).to(x) * 2 - 1) * eps * ETA).clamp(0, 1)
    return perturbed(around, norm, eps * ETA, generator)


def _separate(points: np.ndarray, labels: np.ndarray, largest: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Weight and bias of a linear head right on every point, with logits up to ``largest``; None if none."""
    centre, scale = points[0], max(float(np.abs(points - points[0]).max()), 1e-12)
    fitted = LogisticRegression(C=1e6, class_weight="balanced", max_iter=1000).fit(
        (points - centre) / scale, labels
    )
    if fitted.score((points - centre) / scale, labels) < 1:
        return None
    steep = np.abs(fitted.decision_function((points - centre) / scale)).max() / (largest or 1.0)
    weight = fitted.coef_[0] / scale / steep
    return weight, np.asarray(fitted.intercept_[0] / steep - weight @ centre)


def planted(unit: Unit, twins: Target | None, eps: Fraction) -> Evidence:
    """How many of the ``twins`` ``unit``'s attack breaks; each can be broken within ``eps``."""
    once = replace(unit, cells=(Cell(eps, "control"),))
    found, n = (int(run_unit(once, twins).records[0].success.sum()), len(twins.samples)) if twins else (0, 0)
    detail = f"{found} of {n} planted adversarials are found"
    return Evidence("binarisation", "", 0, None, None, found / max(n, 1), n, detail)
