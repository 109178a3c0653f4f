"""The losses of AutoAttack (Croce and Hein 2020), to be increased by an attack."""

import torch
from torch import Tensor, nn


class DlrLoss(nn.Module):
    """The difference of logits ratio: -(z_y - max over other classes) / (z_1 - z_3), at least 3 classes.

    ``reduction`` is "sum" or "none".
    """

    def __init__(self) -> None:
        super().__init__()
        self.reduction = "sum"

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """Losses of ``logits`` (N x classes) with labels ``y`` (N, or one-hot N x classes)."""
        ranked = _ranked(logits, 3)
        true = logits.gather(1, _indices(y))[:, 0]
        other = torch.where(true == ranked[:, 0], ranked[:, 1], ranked[:, 0])
        loss = (other - true) / (ranked[:, 0] - ranked[:, 2] + 1e-12)
        return loss if self.reduction == "none" else loss.sum()


class TowardsTarget(nn.Module):
    """How near ``logits`` are to ``target`` (N classes).

    It is measured by targeted DLR (at least 4 classes), or minus the cross-entropy.
    """

    def __init__(self, target: Tensor, *, ratio: bool) -> None:
        super().__init__()
        self.target = target
        self.ratio = ratio
        self.reduction = "sum"

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """Losses of ``logits`` (N x classes) with labels ``y`` (N, or one-hot N x classes)."""
        loss = (
            self._ratio(logits, y)
            if self.ratio
            else -nn.functional.cross_entropy(logits, self.target, reduction="none")
        )
        return loss if self.reduction == "none" else loss.sum()

    def _ratio(self, logits: Tensor, y: Tensor) -> Tensor:
        ranked = _ranked(logits, 4)
        true, aim = logits.gather(1, _indices(y))[:, 0], logits.gather(1, self.target[:, None])[:, 0]
        return (aim - true) / (ranked[:, 0] - (ranked[:, 2] + ranked[:, 3]) / 2 + 1e-12)


def _ranked(logits: Tensor, classes: int) -> Tensor:
    """``logits``, largest first. Raises ValueError if there are fewer than ``classes``."""
    if logits.shape[1] < classes:
        raise ValueError(
            f"the DLR loss needs at least {classes} classes, this model has {logits.shape[1]}; use loss: ce"
        )
    return logits.sort(dim=1, descending=True).values


def _indices(y: Tensor) -> Tensor:
    return (y.argmax(1) if y.ndim == 2 else y)[:, None]
