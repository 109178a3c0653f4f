"""Foolbox's defects."""

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import eagerpy
import torch
from foolbox.attacks import HopSkipJumpAttack
from foolbox.attacks.gradient_descent_base import normalize_lp_norms
from torch import Tensor, nn

from bench.attacks.rebinding import AttributeOverride, rebound


@contextmanager
def quiet_root_logger() -> Iterator[None]:
    """Foolbox's DeepFool calls ``logging.info``, which installs a root handler: it finds one already."""
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


class UnflooredL2:
    """For Foolbox's l2 gradient descent, which does two things that hide adversarials.

    It divides by at least 1e-12, so that on confident models steps shrink with the gradient: here every
    gradient but zero is normalised. It projects first and clips then, which leaves part of the budget unused:
    here, as in ART, the other way round.
    """

    def normalize(self, gradients: eagerpy.Tensor, *, x: eagerpy.Tensor, bounds: Any) -> eagerpy.Tensor:  # noqa: ARG002
        """``gradients`` at unit l2 norm; a gradient of zero stays zero."""
        return unit_norm(gradients, 2)

    def project(self, x: eagerpy.Tensor, x0: eagerpy.Tensor, epsilon: float) -> eagerpy.Tensor:
        """``x`` clipped to the box, then brought within ``epsilon`` of ``x0``: inside the box it stays."""
        return super().project(eagerpy.clip(x, 0, 1), x0, epsilon)  # type: ignore[misc]


class UnflooredL1:
    """For Foolbox's l1 gradient descent, which divides by at least 1e-12 too."""

    def normalize(self, gradients: eagerpy.Tensor, *, x: eagerpy.Tensor, bounds: Any) -> eagerpy.Tensor:  # noqa: ARG002
        """``gradients`` at unit l1 norm; a gradient of zero stays zero."""
        return unit_norm(gradients, 1)


class AccumulateGradients:
    """For Foolbox's MI-FGSM, which accumulates signs.

    Dong et al. (and ART) accumulate gradients of unit l1 norm.
    """

    def normalize(self, gradients: eagerpy.Tensor, *, x: eagerpy.Tensor, bounds: Any) -> eagerpy.Tensor:  # noqa: ARG002
        """``gradients`` at unit l1 norm; the sign is taken of their sum, by Foolbox's own optimiser."""
        return normalize_lp_norms(gradients, p=1)


class BehindTheBoundary:
    """For Foolbox's FMN, which steps exactly onto a linear model's boundary.

    Rounding decides whether it ever crosses it.
    """

    def project(self, x: eagerpy.Tensor, x0: eagerpy.Tensor, epsilon: eagerpy.Tensor) -> eagerpy.Tensor:
        """Foolbox's own projection, onto a ball that is larger by a thousandth."""
        return super().project(x, x0, epsilon * 1.001)  # type: ignore[misc]


class ProjectedL2:
    """For Foolbox's l2 FMN, whose projection divides a norm by itself and so leaves every point in place."""

    def project(self, x: eagerpy.Tensor, x0: eagerpy.Tensor, epsilon: eagerpy.Tensor) -> eagerpy.Tensor:
        """``x`` (N x ...) brought within ``epsilon`` (N) of ``x0``."""
        norms = eagerpy.maximum((x - x0).flatten(start=1).norms.l2(axis=-1), 1e-12)
        factor = eagerpy.minimum(1, epsilon / norms)
        return x0 + (x - x0) * factor.reshape((-1,) + (1,) * (x.ndim - 1))


class CountedL0:
    """For Foolbox's l0 FMN, whose projection keeps one value too many, and has no place for the last."""

    def project(self, x: eagerpy.Tensor, x0: eagerpy.Tensor, epsilon: eagerpy.Tensor) -> eagerpy.Tensor:
        """Foolbox's own projection, which counts from 0."""
        return super().project(x, x0, epsilon - 1)  # type: ignore[misc]


class KnownAhead(nn.Module):
    """``model`` for an attack that asks image by image about what it knows all of before.

    It is asked about these together, and then gives one answer after another. Only for a model that answers
    alike whenever it is asked.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._answers: deque[Tensor] = deque()
        self.eval()

    def ask(self, x: Tensor) -> None:
        """Ask about ``x`` (S x N x C x H x W): the next S questions are about N of them each, in order."""
        self._answers.extend(torch.split(self.model(x.flatten(0, 1)), x.shape[1]))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of ``x``, or the decisions on it."""
        logits: Tensor = self._answers.popleft() if self._answers else self.model(x)
        return logits


class AskingAhead(HopSkipJumpAttack):  # type: ignore[misc]
    """Foolbox's HopSkipJump, which samples all directions of a gradient, then asks about one after another.

    ``model``: what it asks about all of them; without, they are asked as Foolbox does.
    """

    model: KnownAhead | None = None

    def approximate_gradients(self, *given: Any) -> eagerpy.Tensor:
        """Foolbox's own, which clips what it will ask about once, and nothing else."""
        if (model := self.model) is None:
            return super().approximate_gradients(*given)

        def clip(x: eagerpy.Tensor, *box: float) -> eagerpy.Tensor:
            clipped = eagerpy.clip(x, *box)
            model.ask(clipped.raw)
            return clipped

        names = AttributeOverride(eagerpy, clip=clip)
        return rebound(HopSkipJumpAttack.approximate_gradients, ep=names)(self, *given)


class BoundedLinfNoise:
    """For Foolbox's linf noise, which scales by the largest value, not magnitude, and leaves its budget."""

    def get_epsilons(
        self, x: eagerpy.Tensor, p: eagerpy.Tensor, epsilon: float, **_: float
    ) -> eagerpy.Tensor:
        """Factors (N x 1 x ...) that bring the noise ``p`` to magnitude ``epsilon``."""
        return epsilon / p.flatten(start=1).abs().max(axis=-1).reshape((-1,) + (1,) * (x.ndim - 1))


def rate_of_one(learning_rate: float, images: int) -> float:
    """For Foolbox's Brendel-Bethge, whose trust region is ``images`` times as large as for one.

    The rate returned undoes this.
    """
    return learning_rate / images


def unit_norm(gradients: eagerpy.Tensor, p: int) -> eagerpy.Tensor:
    """``gradients`` (N x ...) each divided by its lp norm; zero stays zero."""
    norms = gradients.flatten(start=1).norms.lp(p=p, axis=-1)
    norms = eagerpy.where(norms > 0, norms, eagerpy.ones_like(norms))
    return gradients / norms.reshape((-1,) + (1,) * (gradients.ndim - 1))
