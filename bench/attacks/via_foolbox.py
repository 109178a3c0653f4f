"""Neutral attack -> Foolbox call. Every parameter is set here; none is left to Foolbox's default."""

from collections.abc import Callable, Sequence
from typing import Any

import eagerpy
from foolbox import PyTorchModel
from foolbox.attacks import LinfFastGradientAttack, LinfProjectedGradientDescentAttack
from foolbox.criteria import Misclassification
from torch import Tensor, nn

from bench.attacks.libraries import Craft
from bench.attacks.spec import Fgsm, Pgd


class _RememberingFgsm(LinfFastGradientAttack):  # type: ignore[misc]
    """FGSM whose gradient, which no eps changes, is computed once per batch."""

    _last: tuple[Any, Any] | None = None

    def value_and_grad(self, loss_fn: Callable[..., Any], x: eagerpy.Tensor) -> Any:
        """Foolbox's hook for the gradient; remembers that of the last ``x``."""
        if self._last is None or self._last[0] is not x.raw:
            self._last = x.raw, super().value_and_grad(loss_fn, x)
        return self._last[1]


def foolbox_craft(spec: Fgsm | Pgd, model: nn.Module, device: str) -> Craft:
    """``spec`` against ``model`` (images in [0, 1] -> logits) by Foolbox."""
    wrapped = PyTorchModel(model, bounds=(0, 1), device=device)

    def craft(x: Tensor, y: Tensor, grid: Sequence[float]) -> list[Tensor]:
        # `run` rather than `__call__`: the latter adds a success pass, which is ours to make.
        shared = _RememberingFgsm(random_start=False)
        return [_attack(spec, eps, shared).run(wrapped, x, Misclassification(y), epsilon=eps) for eps in grid]

    return craft


def _attack(spec: Fgsm | Pgd, eps: float, shared_fgsm: _RememberingFgsm) -> Any:
    if isinstance(spec, Fgsm):
        return shared_fgsm
    return LinfProjectedGradientDescentAttack(steps=spec.steps, abs_stepsize=spec.step_at(eps), random_start=False)
