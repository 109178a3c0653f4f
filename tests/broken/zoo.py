"""Known-broken defences around one small network, and honest networks to compare with.

Each hides the gradient or the answer in one way; none makes the network any harder to fool.
"""

import copy
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.images import ImageSet

CLASSES, SIDE = 4, 8


class Network(nn.Module):
    """A small convolutional network with a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.Softplus(), nn.Conv2d(8, 8, 3, stride=2), nn.Softplus(), nn.Flatten()
        )
        self.head = nn.Linear(8 * 3 * 3, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(x))
        return out


class Defended(nn.Module):
    """``network`` with its input changed by ``before`` and its output by ``after``."""

    def __init__(self, network: nn.Module, before: Callable[[Tensor], Tensor], after: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.before, self.after = network, before, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.network(self.before(x)))


class Straight(nn.Module):
    """Dropout before the head, left in training mode."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network, self.dropout = network, nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network.head(self.dropout(self.network.body(x)))
        return out

    def train(self, mode: bool = True) -> "Straight":  # noqa: ARG002 (the defect: dropout is never switched off)
        super().train(False)
        self.dropout.train(True)
        return self


class Unruly(nn.Module):
    """A ResNet with dropout before its head, left in training mode."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.dropout = copy.deepcopy(network), nn.Dropout(0.3)
        self.network.fc = nn.Sequential(self.dropout, self.network.get_submodule("fc"))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x)
        return out

    def train(self, mode: bool = True) -> "Unruly":  # noqa: ARG002 (the defect: dropout is never switched off)
        super().train(False)
        self.dropout.train(True)
        return self


def same(x: Tensor) -> Tensor:
    return x


def quantise(x: Tensor) -> Tensor:
    return (x * 16).round() / 16


def ripple(x: Tensor) -> Tensor:
    """Shattered gradients (Athalye et al. 2018): 20 times as steep as the network, with a sign that changes at every step."""
    return x + 0.02 * torch.sin(1000 * x)


def jitter(x: Tensor) -> Tensor:
    return x + 0.1 * torch.randn_like(x)


def saturate(logits: Tensor) -> Tensor:
    return logits * 1000


def probabilities(logits: Tensor) -> Tensor:
    return F.softmax(logits, dim=1)


def detached(x: Tensor) -> Tensor:
    return x.detach() + 0 * x


DEFENCES: dict[str, Callable[[Network], nn.Module]] = {
    "saturated logits": lambda n: Defended(n, same, saturate),
    "quantised input": lambda n: Defended(n, quantise, same),
    "shattered gradient": lambda n: Defended(n, ripple, same),
    "random noise": lambda n: Defended(n, jitter, same),
    "softmax output": lambda n: Defended(n, same, probabilities),
    "detached gradient": lambda n: Defended(n, detached, same),
    "dropout left on": Straight,
}
FLAGGED_BY = {
    "saturated logits": "gradients",
    "quantised input": "gradients",
    "shattered gradient": "binarisation",
    "random noise": "deterministic",
    "softmax output": "logits",
    "detached gradient": "gradients",
    "dropout left on": "eval-mode",
}


def shapes(count: int = 160, seed: int = 0) -> ImageSet:
    """Four easy classes: a bright quarter of a dim image, under noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % CLASSES
    images = rng.normal(110, 12, (count, 3, SIDE, SIDE))
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 2)
        image[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 25
    ids = tuple(f"shapes/{i:03d}" for i in range(count))
    return ImageSet(images.clip(0, 255).round().astype(np.uint8), labels, ids, tuple("abcd"))


def trained(seed: int) -> Network:
    """The network, trained on other shapes than it is tested on."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network()
        images = shapes(256, seed + 1)
        x, y = torch.from_numpy(images.x), torch.from_numpy(images.labels)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
        for _ in range(40):
            loss = F.cross_entropy(network((x - 0.5) / 0.25), y)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return network.eval().requires_grad_(False)


def classifier(network: nn.Module) -> Classifier:
    """``network`` behind the uniform interface."""
    return Classifier(network, mean=(0.5,) * 3, std=(0.25,) * 3, num_classes=CLASSES).eval()
