"""Catastrophic overfitting on the digits: oversized one-step training collapses and stops, PGD does not."""

from typing import Any

import pytest

from adapters.backbones.networks import build_backbone
from adapters.classifier import Classifier
from adapters.spec import BackboneSpec, TrainingSpec
from adapters.training.curves import History
from adapters.training.fit import fit
from tests.builders.small import digits

EPS = "64/255"


def train(epochs: int, **adversarial: Any) -> History:
    """A small ResNet on the digits from 0 to 4, at an eps at which one step is far too coarse."""
    network = build_backbone(BackboneSpec(architecture="timm/test_resnet"), 5, 0)
    classifier = Classifier(network, mean=(0.5,) * 3, std=(0.5,) * 3, num_classes=5)
    spec = TrainingSpec.model_validate(
        {
            "epochs": epochs,
            "lr": 0.1,
            "schedule": "one-cycle",
            "augmentation": "none",
            "adversarial": {"eps": EPS, **adversarial},
        }
    )
    return fit(classifier, digits("train"), spec, seed=0, progress=lambda *_: None)


@pytest.mark.slow
def test_an_oversized_step_trips_the_check_and_stops_where_pgd_training_goes_on() -> None:
    fast, pgd = train(20, method="fast", step_size="1", random_start=False), train(20, method="pgd", steps=5)
    assert fast.robust is not None
    assert pgd.robust is not None
    assert fast.robust.collapsed == len(fast.losses) < 20, "it stops in the epoch in which it collapses"
    assert fast.robust.kept < fast.robust.collapsed
    at = fast.robust.collapsed - 1
    assert fast.robust.fgsm[at] - fast.robust.pgd[at] >= 0.2
    (note,) = fast.notes
    assert (
        f"fast training at eps {EPS} collapsed in epoch {fast.robust.collapsed} (catastrophic overfitting)"
        in note
    )
    assert pgd.robust.collapsed is None
    assert pgd.notes == ()
    assert len(pgd.losses) == 20
