"""What a training step minimises: cross-entropy on the images themselves, or a loss of robust training."""

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Generator, Tensor, nn

from adapters.training.adversaries import crafting, descend, gaussian_start, random_start
from adapters.training.spec import Adversarial, FastTraining, MartTraining, TradesTraining

Network = Callable[[Tensor], Tensor]
"""Images in [0, 1] to logits."""
Loss = Callable[[], Tensor]
"""A batch's loss, with the network as it stands."""
NOISE = 1e-3
"""Standard deviation of the start of TRADES."""


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Summed over images: what an attacker increases."""
    return F.cross_entropy(logits, y, reduction="sum")


def divergence(logits: Tensor, of: Tensor) -> Tensor:
    """The Kullback-Leibler divergence of softmax(``logits``) from softmax(``of``), one per image (N)."""
    return F.kl_div(logits.log_softmax(1), of.softmax(1), reduction="none").sum(1)


class Robust:
    """An adversarial training's loss: ``prepare`` crafts a batch's adversarials and gives the loss on them.

    ``network`` is what is asked (under autocast, where that is declared), ``module`` what is put into the
    crafting mode.
    """

    def __init__(
        self, spec: Adversarial, module: nn.Module, network: Network, generator: Generator, smoothing: float
    ) -> None:
        self.spec, self.module, self.network = spec, module, network
        self.generator = generator
        self.smoothing = smoothing

    def prepare(self, x: Tensor, y: Tensor, share: float) -> Loss:
        """The loss of the batch ``x``, ``y`` at ``share`` of the full eps."""
        attacked = len(x) - round(self.spec.share_clean * len(x))
        with crafting(self.module, self.spec.batchnorm):
            adversarial = torch.cat([self._craft(x[:attacked], y[:attacked], share), x[attacked:]])
        match self.spec:
            case TradesTraining(beta=beta):
                return lambda: self._trades(x, adversarial, y, beta)
            case MartTraining(beta=beta):
                return lambda: self._mart(x, adversarial, y, beta)
            case _:
                return lambda: self._plain(self.network(adversarial), y)

    def _craft(self, x: Tensor, y: Tensor, share: float) -> Tensor:
        spec = self.spec
        eps, step = share * float(spec.eps), share * float(spec.step)
        loss: Callable[[Tensor], Tensor] = lambda moved: cross_entropy(self.network(moved), y)  # noqa: E731
        if isinstance(spec, TradesTraining):
            with torch.no_grad():
                clean = self.network(x)
            start = gaussian_start(x, NOISE, self.generator)
            loss = lambda moved: divergence(self.network(moved), clean).sum()  # noqa: E731
        elif spec.random_start:
            start = random_start(x, norm=spec.norm, eps=eps, generator=self.generator)
        else:
            start = x
        return descend(loss, x, start, norm=spec.norm, eps=eps, step=step, steps=spec.steps)

    def _plain(self, logits: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(logits, y, label_smoothing=self.smoothing)

    def _trades(self, x: Tensor, adversarial: Tensor, y: Tensor, beta: float) -> Tensor:
        clean = self.network(x)
        return self._plain(clean, y) + beta * divergence(self.network(adversarial), clean).mean()

    def _mart(self, x: Tensor, adversarial: Tensor, y: Tensor, beta: float) -> Tensor:
        clean, attacked = self.network(x), self.network(adversarial)
        wrong = attacked.softmax(1).scatter(1, y[:, None], 0).amax(1)
        boosted = self._plain(attacked, y) - (1.0001 - wrong).log().mean()
        unsure = 1 - clean.softmax(1).gather(1, y[:, None])[:, 0]
        return boosted + beta * (divergence(attacked, clean) * unsure).mean()


def one_step(spec: Adversarial) -> bool:
    """Whether training looks for adversarials in one step, and so can learn to hide from that alone."""
    return isinstance(spec, FastTraining)
