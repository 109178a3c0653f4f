"""Networks that hide nothing, however little they hold: none of them may fail a check."""

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from tests.broken.masked import Voting, quantise
from tests.broken.zoo import CLASSES, SIDE, Defended, Network, same, shapes


class Rectified(Network):
    """The network with ReLU, batch normalisation and max pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(12, 12, 3, padding=1), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Linear(12 * 16, CLASSES)


class Linear(Network):
    """The network without a hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Flatten()), nn.Linear(3 * SIDE * SIDE, CLASSES)


class Smooth(Network):
    """The network with tanh, which saturates."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 8, 3, stride=2), nn.Tanh(), nn.Flatten()
        )


class Certain(Network):
    """Six layers without normalisation, whose logits grow until the cross-entropy rounds to zero."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in (3, 16, 16, 16, 16, 16):
            layers += [nn.Conv2d(inputs, 16, 3, padding=1), nn.LeakyReLU()]
        self.body = nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten())
        self.head = nn.Linear(16 * 16, CLASSES)


def straight_through(x: Tensor) -> Tensor:
    """Rounded to 32 levels, with the gradient of what was rounded."""
    return x + (quantise(2 * x) / 2 - x).detach()


def fit(
    network: nn.Module, seed: int, *, eps: float = 0.0, steps: int = 40, rate: float = 0.02,
    noise: float = 0.0, smoothing: float = 0.0, decay: float = 0.0,
) -> nn.Module:  # fmt: skip
    """``network`` trained on shapes: on adversarials within ``eps`` (on [0, 1]), or under ``noise``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        images = shapes(256, seed + 1)
        x, y = torch.from_numpy(images.x), torch.from_numpy(images.labels)
        optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay)
        for step in range(steps):
            network.train()
            seen = _adversarial(network, x, y, eps * step / steps) if eps else x + noise * torch.randn_like(x)
            loss = F.cross_entropy(network((seen - 0.5) / 0.25), y, label_smoothing=smoothing)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return network.eval().requires_grad_(False)


def _adversarial(network: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    moved = (x + eps * (2 * torch.rand_like(x) - 1)).clamp(0, 1)
    for _ in range(4):
        moved.requires_grad_(True)
        (gradient,) = torch.autograd.grad(F.cross_entropy(network((moved - 0.5) / 0.25), y), moved)
        moved = (x + (moved.detach() + eps / 2 * gradient.sign() - x).clamp(-eps, eps)).clamp(0, 1)
    return moved


def built(kind: Callable[[], nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind()


def _averaged(kind: Callable[[], nn.Module], seed: int) -> nn.Module:
    networks = [fit(built(kind, s), s) for s in (seed, seed + 50, seed + 51)]
    return Mean(networks)


class Mean(nn.Module):
    """The mean of several networks' logits."""

    def __init__(self, networks: list[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([network(x) for network in self.networks]).mean(0)


HONEST: dict[str, Callable[[], nn.Module]] = {
    "plain 0": lambda: fit(built(Network, 0), 0),
    "adversarially trained": lambda: fit(built(Network, 1), 1, eps=10 / 255, steps=80),
    "rectified": lambda: fit(built(Rectified, 0), 0),
    "rectified, adversarially trained": lambda: fit(
        built(Rectified, 1), 1, eps=12 / 255, steps=80, rate=0.01
    ),
    "linear": lambda: fit(built(Linear, 0), 0, rate=0.01),
    "weak": lambda: fit(built(Network, 2), 2, steps=30),
    "straight-through": lambda: Defended(fit(built(Network, 3), 3, steps=60), straight_through, same),
    "averaged": lambda: _averaged(Network, 0),
    "large margins": lambda: fit(built(Network, 4), 4, steps=150),
    "small margins": lambda: fit(built(Network, 5), 5, steps=60, smoothing=0.4),
    "tanh": lambda: fit(built(Smooth, 0), 0, rate=0.01, steps=60),
    "noise in training": lambda: fit(built(Rectified, 6), 6, noise=0.1, steps=60),
    "averaged over noise": lambda: Voting(fit(built(Network, 7), 7), soft=True),
    "plain 1": lambda: fit(built(Network, 8), 8),
    "plain 2": lambda: fit(built(Network, 9), 9),
    "adversarially trained, gently": lambda: fit(built(Network, 10), 10, eps=6 / 255, steps=90),
    "adversarially trained, long": lambda: fit(built(Network, 11), 11, eps=12 / 255, steps=150),
    "rectified 1": lambda: fit(built(Rectified, 12), 12),
    "rectified 2": lambda: fit(built(Rectified, 13), 13, steps=100),
    "rectified, gently": lambda: fit(built(Rectified, 14), 14, eps=6 / 255, steps=60, rate=0.01),
    "rectified, averaged": lambda: _averaged(Rectified, 20),
    "rectified, straight-through": lambda: Defended(fit(built(Rectified, 15), 15), straight_through, same),
    "decayed": lambda: fit(built(Rectified, 16), 16, decay=0.3, steps=60),
    "linear, weak": lambda: fit(built(Linear, 17), 17, steps=8, rate=0.003),
    "tanh, adversarially trained": lambda: fit(built(Smooth, 18), 18, eps=10 / 255, steps=80),
    "very certain": lambda: fit(built(Certain, 0), 0, rate=0.003, steps=120),
}
"""The first twelve in the tests that always run."""


@cache
def honest(name: str) -> Any:
    """The network ``name``, trained once."""
    return copy.deepcopy(HONEST[name]())
