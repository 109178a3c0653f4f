"""One epoch of our PGD training beside ART's Madry trainer: the same losses where ART does what it says,
and where not."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from art.defences.trainer import AdversarialTrainerMadryPGD
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.spec import TrainingSpec
from adapters.training.fit import Training
from tests.adapters.test_training import images, weights

EPS, STEP, STEPS, BATCH, LR = 24 / 255, 6 / 255, 4, 12, 0.05


class Watched(nn.CrossEntropyLoss):
    """Cross-entropy that keeps what it says of a network in training mode: ART crafts in eval mode."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.of, self.losses = [network], list[float]()

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        loss = super().forward(logits, y)
        if self.of[0].training:
            self.losses.append(loss.item())
        return loss


def network() -> Classifier:
    """Without dropout, whose masks would be drawn from two streams."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 2),
    )
    return Classifier(layers, mean=(0.5,) * 3, std=(0.5,) * 3, num_classes=2)


def declared(**options: Any) -> TrainingSpec:
    adversarial = {"method": "pgd", "eps": EPS, "step_size": STEP, "steps": STEPS, "random_start": False}
    common = {
        "epochs": 1,
        "batch_size": BATCH,
        "lr": LR,
        "momentum": 0.9,
        "weight_decay": 0,
        "schedule": "constant",
    }
    return TrainingSpec.model_validate(
        {**common, "augmentation": "none", "adversarial": adversarial, **options}
    )


def art_trainer(
    classifier: Classifier, loss: nn.Module
) -> tuple[AdversarialTrainerMadryPGD, torch.optim.Optimizer]:
    optimizer = torch.optim.SGD(classifier.parameters(), lr=LR, momentum=0.9)
    estimator = PyTorchClassifier(
        model=classifier, loss=loss, optimizer=optimizer, input_shape=(3, 8, 8), nb_classes=2,
        clip_values=(0.0, 1.0), device_type="cpu",
    )  # fmt: skip
    trainer = AdversarialTrainerMadryPGD(
        estimator, eps=EPS, eps_step=STEP, max_iter=STEPS, num_random_init=0, nb_epochs=1
    )
    return trainer, optimizer


def arts_order(count: int, seed: int) -> npt.NDArray[np.int64]:
    """The order in which ART's trainer meets ``count`` images if numpy's generator starts at ``seed``."""
    order = np.arange(count)
    np.random.RandomState(seed).shuffle(order)
    return order


def test_an_epoch_has_the_losses_and_ends_at_the_weights_of_arts_madry_trainer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine, theirs = network(), network()
    run = Training(mine, images(60), declared(), seed=0)
    order, losses = torch.from_numpy(arts_order(len(run.train), 7)), list[float]()
    step = run._step

    def watched(x: Tensor, y: Tensor) -> float:
        losses.append(step(x, y))
        return losses[-1]

    monkeypatch.setattr(run, "_step", watched)
    monkeypatch.setattr(torch, "randperm", lambda *_, **__: order)
    run.run_epoch()
    monkeypatch.undo()

    watch = Watched(theirs)
    trainer, _ = art_trainer(theirs, watch)
    x, y = (run.x[run.train].float() / 255).numpy(), run.y[run.train].numpy()
    np.random.seed(7)  # noqa: NPY002 (the generator that ART draws from)
    trainer.fit(x, y, batch_size=BATCH)
    assert len(losses) == 5
    np.testing.assert_allclose(losses, watch.losses, rtol=1e-5)
    for name, tensor in weights(theirs).items():
        torch.testing.assert_close(weights(mine)[name], tensor, rtol=1e-4, atol=1e-6)


def test_art_steps_a_schedule_once_a_batch_and_ours_as_declared() -> None:
    """ART's ``scheduler`` runs "at the start of every epoch": its trainer fits each batch as an epoch."""
    classifier = network()
    trainer, optimizer = art_trainer(classifier, nn.CrossEntropyLoss())
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    x, y = images(60).x, images(60).labels
    trainer.fit(x, y, batch_size=BATCH, scheduler=schedule)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(LR * 0.5**5), (
        "mended in ART: an epoch steps it once"
    )
    run = Training(network(), images(60), declared(epochs=3, schedule="step"), seed=0)
    rates = []
    while not run.finished:
        run.run_epoch()
        rates.append(run.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([LR / 10, LR / 100, LR / 1000])


def test_arts_defaults_are_for_images_up_to_255() -> None:
    """On images in [0, 1] its default ball is eight times the whole range: any pixel may become anything."""
    classifier = network()
    estimator = PyTorchClassifier(
        model=classifier,
        loss=nn.CrossEntropyLoss(),
        input_shape=(3, 8, 8),
        nb_classes=2,
        clip_values=(0.0, 1.0),
    )
    trainer = AdversarialTrainerMadryPGD(estimator)
    assert (trainer.attack.eps, trainer.attack.eps_step) == (8, 2)
    x = images(4).x
    moved = trainer.attack.generate(x, y=images(4).labels)
    assert np.abs(moved - x).max() > 0.5
