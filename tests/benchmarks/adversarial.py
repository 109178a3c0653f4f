"""Adversarial training steps beside a bare loop and ART's Madry trainer: ratios of median times.

``python -m tests.benchmarks.adversarial`` interleaves all three on the same network, images and settings, on
one core or on a GPU, and exits 1 where ours takes more than 1.05 times the bare loop, or ART's less than 1.5
times ours. The bare loop is what nobody can leave out: the gradients to the images through frozen parameters,
and one training step.
"""

import argparse
import copy
import statistics
import sys
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor

from adapters.backbones.networks import build_backbone
from adapters.classifier import Classifier
from adapters.images import ImageSet
from adapters.spec import BackboneSpec, TrainingSpec
from adapters.training.fit import Training
from tests.benchmarks.clock import timed

EPS, STEP, CLASSES = 8 / 255, 2 / 255, 10
MOST_OVER_BARE, LEAST_UNDER_ART = 1.05, 1.5


def images(count: int, size: int) -> ImageSet:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, 3, size, size)).astype(np.uint8)
    return ImageSet(
        pixels, np.arange(count) % CLASSES, tuple(map(str, range(count))), tuple(map(str, range(CLASSES)))
    )


def bare(classifier: Classifier, x: Tensor, y: Tensor, steps: int) -> Callable[[], object]:
    optimizer = torch.optim.SGD(classifier.parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        classifier.eval().requires_grad_(False)
        moved = (x + EPS * (2 * torch.rand_like(x) - 1)).clamp(0, 1)
        for _ in range(steps):
            leaf = moved.requires_grad_(True)
            (gradient,) = torch.autograd.grad(F.cross_entropy(classifier(leaf), y, reduction="sum"), leaf)
            moved = (x + (leaf.detach() + STEP * gradient.sign() - x).clamp(-EPS, EPS)).clamp(0, 1)
        classifier.train().requires_grad_(True)
        loss = F.cross_entropy(classifier(moved.detach()), y)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def ours(classifier: Classifier, data: ImageSet, batch: int, steps: int) -> Callable[[], object]:
    adversarial = {"method": "pgd", "eps": EPS, "step_size": STEP, "steps": steps}
    spec = TrainingSpec.model_validate(
        {"epochs": 2, "batch_size": batch, "augmentation": "none", "adversarial": adversarial}
    )
    training = Training(classifier, data, spec, seed=0)
    classifier.train()
    return lambda: training._step(training.x[:batch], training.y[:batch])


def art(classifier: Classifier, x: Tensor, y: Tensor, steps: int) -> Callable[[], object]:
    from art.defences.trainer import AdversarialTrainerMadryPGD
    from art.estimators.classification import PyTorchClassifier

    optimizer = torch.optim.SGD(classifier.parameters(), lr=0.01, momentum=0.9)
    estimator = PyTorchClassifier(
        model=classifier, loss=torch.nn.CrossEntropyLoss(), optimizer=optimizer,
        input_shape=tuple(x.shape[1:]), nb_classes=CLASSES, clip_values=(0.0, 1.0),
        device_type="gpu" if x.is_cuda else "cpu",
    )  # fmt: skip
    trainer = AdversarialTrainerMadryPGD(
        estimator, eps=EPS, eps_step=STEP, max_iter=steps, num_random_init=1, nb_epochs=1
    )
    given = x.cpu().numpy(), y.cpu().numpy()
    return lambda: trainer.fit(*given, batch_size=len(x))


def main() -> int:
    """Measure, print, and return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=7, help="of PGD")
    parser.add_argument("--size", type=int, default=32, help="pixels")
    parser.add_argument("--batch", type=int, default=64, help="images")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(options.device)
    data = images(options.batch + 3 * CLASSES, options.size)
    x = torch.from_numpy(data.x[: options.batch]).to(device)
    y = torch.from_numpy(data.labels[: options.batch]).to(device)
    network = build_backbone(BackboneSpec(), CLASSES, 0)
    first = Classifier(network, mean=(0.5,) * 3, std=(0.5,) * 3, num_classes=CLASSES).to(device)
    each = [copy.deepcopy(first) for _ in range(3)]
    contenders = {
        "bare loop": bare(each[0], x, y, options.steps),
        "bench": ours(each[1], data, options.batch, options.steps),
        "ART's Madry trainer": art(each[2], x, y, options.steps),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(options.rounds + 1):  # the first one warms up
        for name, step in contenders.items():
            taken, _ = timed(step, device)
            if turn:
                seconds[name].append(taken)
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    mine = median["bench"]
    print(
        f"PGD-{options.steps} training step, ResNet18, {options.batch} images of {options.size} px, {device},"
        f" median of {options.rounds}"
    )
    for name, taken in median.items():
        print(f"  {name}: {taken:.3f} s, {taken / mine:.2f} x bench")
    met = (
        mine <= MOST_OVER_BARE * median["bare loop"]
        and median["ART's Madry trainer"] >= LEAST_UNDER_ART * mine
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
