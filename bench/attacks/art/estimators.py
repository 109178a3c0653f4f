"""ART's classifier for attacks that ask it for more than they need."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn

from bench.attacks.shared import Once


class SharingClassifier(PyTorchClassifier):  # type: ignore[misc]
    """ART's classifier for FGSM, which asks for the same gradient at every eps: it is in ``gradient``."""

    gradient: Once[Any]

    def loss_gradient(self, x: Any, y: Any, training_mode: bool = False, **kwargs: Any) -> Any:
        """ART's gradient of the loss with respect to ``x``."""
        compute = super().loss_gradient
        return self.gradient.recall(lambda: compute(x, y, training_mode=training_mode, **kwargs)).copy()


class DirectClassifier(PyTorchClassifier):  # type: ignore[misc]
    """ART's classifier for black-box attacks.

    ART's own makes a data set and its loader of each question, often of one image.
    """

    def predict(self, x: Any, batch_size: int = 128, **_: Any) -> npt.NDArray[np.float32]:
        """What the model says of ``x`` (N x 3 x H x W), N x classes."""
        images = torch.from_numpy(np.ascontiguousarray(x))
        with torch.no_grad():
            said = [
                self.model(part.to(self.device)).cpu().numpy() for part in torch.split(images, batch_size)
            ]
        return np.concatenate(said)


class PredictionCache(DirectClassifier):
    """ART's classifier for Square, which asks three times a step.

    Two of these questions are about images whose scores it has been told.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._told: dict[bytes, npt.NDArray[np.float32]] = {}

    def predict(self, x: Any, *_: Any, **__: Any) -> npt.NDArray[np.float32]:
        """ART's predictions of ``x``; the last four answers are remembered."""
        asked = x.tobytes()
        if asked not in self._told:
            answer = super().predict(x, batch_size=len(x))
            self._told = {**dict(list(self._told.items())[-3:]), asked: answer}
        return self._told[asked].copy()


class WideClassifier(DirectClassifier):
    """ART's classifier for ZOO and the boundary attack, whose proposals of a step are passed one by one.

    Here they are passed at once.
    """

    def predict(self, x: Any, *_: Any, **__: Any) -> npt.NDArray[np.float32]:
        """ART's predictions of ``x`` as one batch."""
        return super().predict(x, batch_size=len(x))


class LastPass(nn.Module):
    """``model`` for APGD, which asks for the loss of images and then for its gradient: one pass gives both.

    Only for a model that answers alike whenever it is asked.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._images = self._logits = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of ``x``; there is no pass if they are known, unless a second gradient is asked for."""
        seen = x.shape == self._images.shape and torch.equal(x, self._images)
        if not seen or (x.requires_grad and not self._logits.requires_grad):
            with torch.enable_grad():
                self._images = x.detach().clone().requires_grad_(True)
                self._logits = self.model(self._images)
        logits: Tensor = _Backwards.apply(x, self) if x.requires_grad else self._logits.detach()
        return logits

    def backward(self, gradient: Tensor) -> Tensor:
        """The gradient of the images, of that of their logits: once, as it ends what the pass has kept."""
        (found,) = torch.autograd.grad(self._logits, self._images, gradient)
        self._logits = self._logits.detach()
        return found


class _Backwards(torch.autograd.Function):
    """The logits of the last pass as a function of images equal to those that it was of."""

    @staticmethod
    def forward(ctx: Any, _: Tensor, last: LastPass) -> Tensor:
        ctx.last = last
        return last._logits.detach()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.last.backward(gradient), None
