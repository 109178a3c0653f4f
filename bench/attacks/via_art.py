"""Neutral attack -> ART call. Every parameter is set here; none is left to ART's default."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from art.attacks.evasion import FastGradientMethod
from art.attacks.evasion.projected_gradient_descent.projected_gradient_descent_pytorch import (
    ProjectedGradientDescentPyTorch,
)
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn

from bench.attacks.libraries import Craft
from bench.attacks.spec import Fgsm, Pgd


class _RememberingClassifier(PyTorchClassifier):  # type: ignore[misc]
    """ART's classifier, remembering its last gradient: FGSM asks for the same one at every eps."""

    _last: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None = None

    def loss_gradient(self, x: Any, y: Any, training_mode: bool = False, **kwargs: Any) -> Any:
        """ART's gradient of the loss with respect to ``x``, computed once for equal ``x``."""
        if self._last is None or not np.array_equal(self._last[0], x):
            self._last = x.copy(), super().loss_gradient(x, y, training_mode=training_mode, **kwargs)
        return self._last[1].copy()


class _SilentClassifier(PyTorchClassifier):  # type: ignore[misc]
    """ART's classifier for PGD, which asks for predictions only to log a success rate: 2 forward passes saved."""

    def predict(self, x: Any, *_: Any, **__: Any) -> npt.NDArray[np.float32]:
        """Zeros: nobody reads them."""
        return np.zeros((len(x), self.nb_classes), dtype=np.float32)


def art_craft(spec: Fgsm | Pgd, model: nn.Module, *, input_shape: tuple[int, int, int], num_classes: int, device: str) -> Craft:
    """``spec`` against ``model`` (images in [0, 1] -> logits) by ART."""

    def craft(x: Tensor, y: Tensor, grid: Sequence[float]) -> list[Tensor]:
        estimator = (_RememberingClassifier if isinstance(spec, Fgsm) else _SilentClassifier)(
            model,
            loss=nn.CrossEntropyLoss(reduction="sum"),  # as Foolbox sums; a mean scales gradients towards zero
            input_shape=input_shape,
            nb_classes=num_classes,
            clip_values=(0.0, 1.0),
            device_type="gpu" if device.startswith("cuda") else "cpu",
        )
        images, labels = x.cpu().numpy(), y.cpu().numpy()
        batches = [_attack(spec, estimator, eps, len(images)).generate(images, labels) for eps in grid]
        return [torch.from_numpy(batch).to(x) for batch in batches]

    return craft


def _attack(spec: Fgsm | Pgd, estimator: PyTorchClassifier, eps: float, batch_size: int) -> Any:
    if isinstance(spec, Fgsm):
        return FastGradientMethod(
            estimator, norm=np.inf, eps=eps, eps_step=eps, targeted=False, num_random_init=0, batch_size=batch_size,
            minimal=False, summary_writer=False,
        )  # fmt: skip
    return ProjectedGradientDescentPyTorch(
        estimator, norm=np.inf, eps=eps, eps_step=spec.step_at(eps), decay=None, max_iter=spec.steps, targeted=False,
        num_random_init=0, batch_size=batch_size, random_eps=False, summary_writer=False, verbose=False,
    )  # fmt: skip
