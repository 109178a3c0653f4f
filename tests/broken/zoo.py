"""One small network, and easy images to train and attack it on."""

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
            nn.Conv2d(3, 8, 3, padding=1),
            nn.Softplus(),
            nn.Conv2d(8, 8, 3, stride=2),
            nn.Softplus(),
            nn.Flatten(),
        )
        self.head = nn.Linear(8 * 3 * 3, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(x))
        return out


class Defended(nn.Module):
    """``network`` with its input changed by ``before`` and its output by ``after``."""

    def __init__(
        self, network: nn.Module, before: Callable[[Tensor], Tensor], after: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.network, self.before, self.after = network, before, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.network(self.before(x)))


def same(x: Tensor) -> Tensor:
    return x


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
