"""torchattacks' defects."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torchattacks
from torch import Tensor, nn

from bench.attacks.rebinding import AttributeOverride, rebound

SUMMED = AttributeOverride(nn, CrossEntropyLoss=partial(nn.CrossEntropyLoss, reduction="sum"))
"""torch.nn for attacks on the mean loss of a batch.

A mean scales gradients towards zero, the more the larger the batch.
"""
SMALLEST = torch.finfo(torch.float32).tiny
"""What keeps a division by the norm of a gradient of zero finite, and changes no other."""


class Beside(nn.Module):
    """``model`` with a parameter on ``device``, where torchattacks looks for the device.

    It prints where there is none.
    """

    def __init__(self, model: nn.Module, device: str) -> None:
        super().__init__()
        self.model = model
        self.anchor = nn.Parameter(torch.zeros(1, device=device), requires_grad=False)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Logits of ``x``."""
        logits: Tensor = self.model(x)
        return logits


def _starting_at(start: Tensor | None) -> Any:
    """What stands for torch in an attack that draws its start.

    The first point that it clips to the box is ``start``.
    """
    left = [] if start is None else [start]

    def clamp(x: Tensor, min: float, max: float) -> Tensor:  # noqa: A002 (torch's names)
        return left.pop() if left else torch.clamp(x, min=min, max=max)

    return AttributeOverride(torch, clamp=clamp)


class StartingPgd(torchattacks.PGD):  # type: ignore[misc]
    """torchattacks' PGD from a given start, on the summed loss."""

    start: Tensor | None = None

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Torchattacks' own steps from ``start``."""
        run = rebound(torchattacks.PGD.forward, nn=SUMMED, torch=_starting_at(self.start))
        moved: Tensor = run(self, images, labels)
        return moved


class StepInTheBox:
    """A step size for l2 PGD, which projects, then clips, and so leaves part of the budget unused at the box.

    The step that it multiplies to ends in the box, as in ART: projecting it leaves it there.
    """

    def __init__(self, size: float) -> None:
        self.size = size
        self.start: Tensor | None = None

    def __repr__(self) -> str:
        return str(self.size)

    def __mul__(self, direction: Tensor) -> Tensor:
        step = self.size * direction
        return step if self.start is None else (self.start + step).clamp(0, 1) - self.start


class StartingL2Pgd(torchattacks.PGDL2):  # type: ignore[misc]
    """torchattacks' l2 PGD from a given start, on the summed loss, stepping within the box.

    Its own starts crowd around the image (their radius is uniform, where the ball's volume is not), and it
    adds 1e-10 to each gradient's norm, so that on confident models steps shrink with the gradient.
    """

    start: Tensor | None = None

    def __init__(self, model: nn.Module, eps: float, alpha: float, steps: int, *, random_start: bool) -> None:
        super().__init__(
            model, eps=eps, alpha=alpha, steps=steps, random_start=random_start, eps_for_division=SMALLEST
        )
        self.alpha = StepInTheBox(alpha)

    def get_logits(self, inputs: Tensor, *rest: Any) -> Tensor:
        """Torchattacks' own; the next step is from ``inputs``."""
        self.alpha.start = inputs.detach()
        logits: Tensor = super().get_logits(inputs, *rest)
        return logits

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Torchattacks' own steps from ``start``."""
        run = rebound(torchattacks.PGDL2.forward, nn=SUMMED, torch=_starting_at(self.start))
        moved: Tensor = run(self, images, labels)
        return moved


class BestSquare(torchattacks.Square):  # type: ignore[misc]
    """torchattacks' Square, which gives unbroken images back as they were and seeds torch's generators."""

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """The nearest to an adversarial that its search got."""
        self.init_hyperparam(images)
        search: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = self.attack_single_run
        return search(images, labels)[1]
