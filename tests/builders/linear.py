"""A classifier whose answers under attack are known in closed form.

Two classes with logits (0, w.x + b) over 3 x 2 x 2 images. For a sample with margin m = |w.x + b| predicted
correctly, the nearest adversarial lies at distance m / ||w||_1 in linf and m / ||w||_2 in l2 (if the box does
not bind), so that FGSM, PGD and every sound attack succeed exactly at eps above that distance.
"""

import numpy as np
import torch
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.images import ImageSet

SHAPE = (3, 2, 2)
WEIGHT = torch.tensor([3.0, -2.0, 1.0, 0.5, -1.5, 2.5, -0.5, 1.0, 2.0, -1.0, 0.25, -0.75]) / 2


class Linear(nn.Module):
    """Logits (0, w.x + b) of images N x 3 x 2 x 2."""

    def __init__(self, weight: Tensor = WEIGHT, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone(), requires_grad=False)
        self.bias = bias

    def forward(self, x: Tensor) -> Tensor:
        score = x.flatten(1) @ self.weight + self.bias
        return torch.stack([torch.zeros_like(score), score], dim=1)


def linear_classifier() -> Classifier:
    """The linear model behind the uniform interface; its boundary passes through the middle of the box."""
    network = Linear(bias=float(-WEIGHT.sum() / 2))
    return Classifier(network, mean=(0, 0, 0), std=(1, 1, 1), num_classes=2).eval()


def linear_samples(count: int = 64, spread: int = 40) -> ImageSet:
    """``count`` images near the box's middle; all but the last quarter as the linear model predicts them."""
    rng = np.random.default_rng(0)
    images = rng.integers(128 - spread, 128 + spread, size=(count, *SHAPE)).astype(np.uint8)
    labels = (margins(images) > 0).astype(np.int64)
    labels[-count // 4 :] = 1 - labels[-count // 4 :]
    return ImageSet(images, labels, tuple(f"linear/{i:03d}" for i in range(count)), ("low", "high"))


def margins(images: np.ndarray) -> np.ndarray:
    """w.x + b of each image, in float64."""
    weight = WEIGHT.double().numpy()
    scores: np.ndarray = (images.reshape(len(images), -1) / 255 - 0.5) @ weight
    return scores
