"""How a training stands on the training images that were held out: which epoch's weights are the best."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Generator, Tensor

from adapters.classifier import Classifier
from adapters.training.adversaries import crafting, descend, random_start
from adapters.training.curves import Epoch
from adapters.training.objectives import cross_entropy
from adapters.training.spec import Adversarial

STEPS = 10
"""Of the PGD that judges, a quarter of eps each."""

Score = tuple[float, ...]
"""How bad weights are: of two, the smaller is the better."""


class HeldOut:
    """``x`` (N x 3 x H x W, bytes or [0, 1]) with labels ``y``, to judge weights in batches of ``size``."""

    def __init__(self, x: Tensor, y: Tensor, size: int, seed: int) -> None:
        self.x, self.y, self.size, self.seed = x, y, size, seed

    def __len__(self) -> int:
        return len(self.x)

    @torch.inference_mode()
    def loss(self, classifier: Classifier) -> Score:
        """The summed cross-entropy of ``classifier`` (in eval mode)."""
        total = 0.0
        for x, y in self._batches(classifier):
            total += F.cross_entropy(classifier(x), y, reduction="sum").item()
        return (total,)

    def robustness(self, classifier: Classifier, spec: Adversarial, epoch: Epoch) -> tuple[Score, Epoch]:
        """How many PGD gets wrong, then their loss for equal counts; and ``epoch`` with the accuracies.

        Each epoch meets the same random starts.
        """
        generator = Generator().manual_seed(self.seed)
        wrong, loss = torch.zeros(3, dtype=torch.int64), 0.0
        with crafting(classifier, "eval"):
            for x, y in self._batches(classifier):
                shown = (x, self._fgsm(classifier, spec, x, y), self._pgd(classifier, spec, x, y, generator))
                with torch.inference_mode():
                    logits = [classifier(images) for images in shown]
                wrong += torch.stack([(said.argmax(1) != y).sum() for said in logits]).cpu()
                loss += cross_entropy(logits[-1], y).item()
        clean, fgsm, pgd = (1 - wrong / len(self)).tolist()
        return (float(wrong[2]), loss), Epoch(epoch.loss, epoch.eps, clean, fgsm, pgd)

    def _batches(self, classifier: Classifier) -> Iterator[tuple[Tensor, Tensor]]:
        device = classifier.device
        for x, y in zip(torch.split(self.x, self.size), torch.split(self.y, self.size), strict=True):
            yield x.to(device).float() / 255, y.to(device)

    def _fgsm(self, classifier: Classifier, spec: Adversarial, x: Tensor, y: Tensor) -> Tensor:
        eps = float(spec.eps)
        return descend(
            lambda m: cross_entropy(classifier(m), y), x, x, norm=spec.norm, eps=eps, step=eps, steps=1
        )

    def _pgd(
        self, classifier: Classifier, spec: Adversarial, x: Tensor, y: Tensor, generator: Generator
    ) -> Tensor:
        eps = float(spec.eps)
        start = random_start(x, norm=spec.norm, eps=eps, generator=generator)
        return descend(
            lambda m: cross_entropy(classifier(m), y),
            x,
            start,
            norm=spec.norm,
            eps=eps,
            step=eps / 4,
            steps=STEPS,
        )
