"""The uniform classifier: images in [0, 1] in, float32 logits out, normalisation inside."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from adapters.images import ImageSet
from adapters.outputs import Outputs, ReadOut
from adapters.precision import multiplying
from adapters.scaling import scaled


@dataclass(frozen=True)
class Predictions:
    """Per sample (N): the predicted class (int64), its probability, and the true class's (float32).

    Of a random model they are those of its mean probabilities; ``right`` is the probability that it is right
    (float32), and ``choice`` another estimate of that, by which the worst of several attacks is chosen. None
    of a model with one answer.
    """

    pred: npt.NDArray[np.int64]
    prob: npt.NDArray[np.float32]
    prob_true: npt.NDArray[np.float32]
    right: npt.NDArray[np.float32] | None = None
    choice: npt.NDArray[np.float32] | None = None

    def take(self, index: npt.NDArray[np.int64]) -> "Predictions":
        """Those of the samples at ``index``."""
        right, choice = (None if column is None else column[index] for column in (self.right, self.choice))
        return Predictions(self.pred[index], self.prob[index], self.prob_true[index], right, choice)

    def stands(self, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which samples, of these ``labels``, are predicted correctly, if only sometimes."""
        if self.right is None or self.choice is None:
            return np.asarray(self.pred == labels)
        return np.asarray((self.right > 0) | (self.choice > 0))


def joined(parts: Sequence[Predictions]) -> Predictions:
    """The predictions of all ``parts``, in order."""
    pred, prob, prob_true = (
        np.concatenate([getattr(p, name) for p in parts]) for name in ("pred", "prob", "prob_true")
    )
    if parts[0].right is None:
        return Predictions(pred, prob, prob_true)
    return Predictions(
        pred,
        prob,
        prob_true,
        *(np.concatenate([getattr(p, name) for p in parts]) for name in ("right", "choice")),
    )


class Classifier(nn.Module):
    """A network over images in [0, 1], which are scaled to ``side`` pixels inside, or taken as they are.

    ``forward`` takes float32 N x 3 x H x W and returns float32 logits, N x num_classes. Where ``outputs`` is
    given, they are read out of what the network gives, and ``num_classes`` counts them; the data's classes
    come first.
    """

    mean: Tensor
    std: Tensor
    side: int | None = None

    def __init__(
        self,
        network: nn.Module,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        num_classes: int,
        outputs: Outputs | None = None,
        side: int | None = None,
    ) -> None:
        super().__init__()
        self.side = side
        self.network = network
        self.num_classes = outputs.count if outputs else num_classes
        self.read_out = ReadOut(outputs) if outputs else None
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of ``x``."""
        return self.read(self.network(self.normalised(x)))

    def read(self, given: Tensor) -> Tensor:
        """The logits in what the network has ``given``."""
        return given.float() if self.read_out is None else self.read_out(given.float())

    def normalised(self, x: Tensor) -> Tensor:
        """What the network is given of images ``x``."""
        x = x if self.side is None else scaled(x, self.side)
        return (x - self.mean) / self.std

    def begin(self, seed: int) -> None:
        """A new attack begins: from here on, draw from ``seed`` what is random.

        Nothing is, unless a defence draws.
        """

    def asked_through(self, asker: "Callable[[Classifier], Classifier]") -> "Classifier":
        """Stands for this classifier where an ``asker`` stands for each with weights; it draws for itself."""
        return asker(self)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.buffers()).device


def tensors(samples: ImageSet, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images (float32 in [0, 1], N x 3 x H x W) and labels (N) of ``samples`` on ``device``.

    Bytes go there as bytes.
    """
    images, labels = (torch.from_numpy(array).to(device) for array in (samples.images, samples.labels))
    if images.dtype == torch.float32:
        return images, labels
    white = torch.tensor(
        255.0, device=device
    )  # by a tensor a GPU divides; by a number it would multiply with its reciprocal
    return images / white, labels


@torch.inference_mode()
@multiplying("fp32")
def predict(classifier: nn.Module, x: Tensor, y: Tensor) -> Predictions:
    """What ``classifier`` says of one batch ``x`` (N x 3 x H x W) with labels ``y`` (N), in float32."""
    probs = classifier(x).softmax(dim=1)
    prob, pred = probs.max(dim=1)
    prob_true = probs.gather(1, y[:, None])[:, 0]
    return Predictions(pred.cpu().numpy(), prob.cpu().numpy(), prob_true.cpu().numpy())
