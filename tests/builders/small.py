"""A small convolutional network trained on digits in a second: fit to be fooled, quick in every attack."""

from functools import cache

import numpy as np
import torch
from torch import nn

from adapters.classifier import Classifier
from adapters.images import ImageSet
from bench import data
from bench.data.spec import DataSpec, Split


def digits(part: Split, samples: int | None = None) -> ImageSet:
    """Digits 0 to 4 at 3 x 32 x 32."""
    return data.load(
        DataSpec.model_validate({"source": "digits", "classes": [0, 1, 2, 3, 4], "samples": samples}), part
    )


@cache
def small_classifier() -> Classifier:
    """Above 95 % on held-out digits."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.AvgPool2d(2), nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU(),
            nn.Flatten(), nn.Linear(16 * 25, 5),
        )  # fmt: skip
        classifier = Classifier(network, mean=[0.5] * 3, std=[0.5] * 3, num_classes=5)
        images = digits("train")
        x, y = torch.from_numpy(images.x), torch.from_numpy(images.labels)
        optimizer = torch.optim.Adam(classifier.parameters(), lr=0.003)
        for _ in range(60):
            batch = torch.randint(len(x), (128,))
            optimizer.zero_grad()
            nn.functional.cross_entropy(classifier(x[batch]), y[batch]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return classifier.eval().requires_grad_(False)


def few(count: int) -> ImageSet:
    """``count`` held-out digits that the small classifier gets right."""
    images, classifier = digits("test"), small_classifier()
    with torch.inference_mode():
        pred = classifier(torch.from_numpy(images.x)).argmax(1).numpy()
    return images.take(np.flatnonzero(pred == images.labels)[:count])
