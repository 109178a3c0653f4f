"""Training: the declared schedule, early stopping on held-out training images, and a resumed run that ends
bitwise the same."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.errors import ModelError
from adapters.images import ImageSet
from adapters.spec import EarlyStopping, TrainingSpec
from adapters.training.fit import fit, hold_out
from adapters.training.optimisation import lr_factor


def images(count: int = 40) -> ImageSet:
    """Dark images of class 0 and bright ones of class 1, 3 x 8 x 8."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    pixels = rng.integers(0, 120, (count, 3, 8, 8)) + 100 * labels[:, None, None, None]
    return ImageSet(pixels.astype(np.uint8), labels, tuple(map(str, range(count))), ("dark", "bright"))


def small() -> Classifier:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    return Classifier(network, mean=(0.5,) * 3, std=(0.5,) * 3, num_classes=2)


def weights(classifier: Classifier) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in classifier.state_dict().items()}


class KilledError(Exception):
    pass


@pytest.mark.parametrize(
    "options",
    [
        {"schedule": "one-cycle", "augmentation": "affine"},
        {"schedule": "step", "optimizer": "adamw", "early_stopping": {"patience": 9}},
        {"schedule": "cosine", "warmup_epochs": 2, "label_smoothing": 0.1, "amp": True},
    ],
    ids=lambda o: o["schedule"],
)
@pytest.mark.parametrize("killed_after", [1, 4])
def test_killed_and_resumed_training_ends_bitwise_the_same(
    options: object, killed_after: int, tmp_path: Path
) -> None:
    spec = TrainingSpec.model_validate({"epochs": 6, "batch_size": 8, **options})  # type: ignore[dict-item]
    whole, resumed = small(), small()
    expected = fit(whole, images(), spec, seed=3, progress=lambda *_: None)

    def kill(done: int, *_: object) -> None:
        if done == killed_after:
            raise KilledError

    state = tmp_path / "state.pt"
    with pytest.raises(KilledError):
        fit(small(), images(), spec, seed=3, progress=kill, checkpoint=state)
    seen: list[int] = []
    losses = fit(
        resumed, images(), spec, seed=3, progress=lambda done, *_: seen.append(done), checkpoint=state
    )
    assert seen[0] == killed_after + 1
    assert losses == expected
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(resumed)[name]), name


def test_a_torn_state_is_said_and_training_starts_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = TrainingSpec(epochs=2, batch_size=8)
    state = tmp_path / "state.pt"
    state.write_bytes(b"PK\x03\x04 torn")
    torn, clean = small(), small()
    assert fit(torn, images(), spec, seed=0, progress=lambda *_: None, checkpoint=state) == fit(
        clean, images(), spec, seed=0, progress=lambda *_: None
    )
    assert "starts again" in caplog.text


def test_training_stops_early_and_keeps_the_best_epoch() -> None:
    noise = images()
    unlearnable = ImageSet(
        noise.images, np.random.default_rng(1).permutation(noise.labels), noise.ids, noise.classes
    )
    spec = TrainingSpec.model_validate(
        {
            "epochs": 60,
            "batch_size": 8,
            "lr": 0.05,
            "schedule": "constant",
            "early_stopping": {"patience": 4, "validation": 0.3},
        }
    )
    classifier, reported = small(), []
    losses = fit(
        classifier, unlearnable, spec, seed=0, progress=lambda *said: reported.append(said[:2])
    ).losses
    assert len(losses) < 60
    assert reported[-1] == (len(losses), len(losses))
    best = len(losses) - 4
    until_best = small()
    fit(until_best, unlearnable, spec.model_copy(update={"epochs": best}), seed=0, progress=lambda *_: None)
    for name, tensor in weights(classifier).items():
        assert torch.equal(tensor, weights(until_best)[name]), name


def test_held_out_images_are_a_share_of_each_class() -> None:
    labels = np.repeat([0, 1, 2], [10, 20, 5])
    train, held = hold_out(labels, 0.2, seed=0)
    np.testing.assert_array_equal(np.bincount(labels[held.numpy()]), [2, 4, 1])
    assert sorted([*train.tolist(), *held.tolist()]) == list(range(35))


def test_the_only_image_of_a_class_is_trained_on() -> None:
    labels = np.repeat([0, 1, 2], [1, 2, 10])
    for share in (0.1, 0.5):
        train, held = hold_out(labels, share, seed=0)
        assert np.bincount(labels[train.numpy()])[:2].tolist() == [1, 1]
        assert np.bincount(labels[held.numpy()])[:2].tolist() == [0, 1]
    few = images().take(np.arange(2))
    spec = TrainingSpec(early_stopping=EarlyStopping())
    with pytest.raises(
        ModelError, match=r"no class has two training images, .* drop training\.early_stopping"
    ):
        fit(small(), few, spec, seed=0, progress=lambda *_: None)


def test_learning_rates_are_those_of_the_formulas() -> None:
    step = [lr_factor("step", s, 9, 0) for s in range(9)]
    np.testing.assert_allclose(step, [1] * 3 + [0.1] * 3 + [0.01] * 3)
    cosine = [lr_factor("cosine", s, 12, 2) for s in range(12)]
    np.testing.assert_allclose(cosine[:2], [0.5, 1])
    np.testing.assert_allclose(cosine[2:], [(1 + math.cos(math.pi * k / 10)) / 2 for k in range(10)])


def test_diverging_training_is_an_error() -> None:
    spec = TrainingSpec(epochs=9, batch_size=8, lr=1e30, schedule="constant")
    with pytest.raises(
        ModelError, match=r"training diverged: the loss of epoch \d is not finite; lower training.lr"
    ):
        fit(small(), images(), spec, seed=0, progress=lambda *_: None)
