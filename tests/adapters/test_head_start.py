"""A head that is trained before the rest: what moves, what is shared, and that no recipe of before is
another one now."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from adapters.cache.recipe import Backbone, Pretraining, Recipe
from adapters.cache.zoo import Zoo
from adapters.classifier import Classifier
from adapters.files.names import WEIGHTS
from adapters.spec import Adaptation, BackboneSpec, FullSpec, HeadSpec, LoraSpec, NoneSpec, TrainingSpec
from adapters.training.curves import Progress
from bench import data
from bench.data import DataSpec
from tests.builders.loaded import loaded

LORA_FC = LoraSpec(method="lora", r=4, alpha=8, targets=("fc",))
LORA_STEM = LoraSpec(method="lora", r=4, alpha=8, targets=("conv1.0",))
NETWORK = BackboneSpec(architecture="timm/test_resnet")
QUICK = {"epochs": 1, "batch_size": 32, "lr": 0.01, "schedule": "constant", "augmentation": "none"}
PGD = {"method": "pgd", "eps": "16/255", "steps": 2}


def quick(**options: Any) -> TrainingSpec:
    return TrainingSpec.model_validate({**QUICK, **options})


def recipe(adaptation: Adaptation, **options: Any) -> Recipe:
    source = data.load(DataSpec(classes=(0, 1), size=32), "all").take(np.arange(64))
    target = data.load(DataSpec(classes=(6, 7), size=32), "train").take(np.arange(64))
    backbone = Backbone(NETWORK, Pretraining(quick(), source), 0)
    return Recipe("model", backbone, adaptation, quick(**options), target, 0)


@pytest.fixture
def trained() -> list[str]:
    return []


@pytest.fixture
def zoo(tmp_path: Path, trained: list[str]) -> Zoo:
    def announce(title: str) -> Progress:
        trained.append(title)
        return lambda *_: None

    return Zoo(tmp_path, announce)


Watch = Callable[[Classifier], None]


@pytest.mark.parametrize(
    "adaptation", [LORA_FC, LORA_STEM, FullSpec(), HeadSpec(method="head")], ids=lambda a: a.method
)
def test_a_probed_model_is_reloaded_as_it_was_trained(
    adaptation: Adaptation, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adapters.training import fit as training

    last: list[Classifier] = []
    real = training.fit

    def watch(classifier: Classifier, *arguments: Any, **options: Any) -> Any:
        last.append(classifier)
        return real(classifier, *arguments, **options)

    monkeypatch.setattr(training, "fit", watch)
    made = recipe(adaptation, head_start="probe")
    zoo.ensure(made)
    x = torch.from_numpy(made.images.x)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(zoo, made)(x), last[-1](x), rtol=0, atol=0)


def test_a_probe_moves_the_head_alone_and_is_trained_once_for_all(zoo: Zoo, trained: list[str]) -> None:
    made = recipe(LORA_STEM, head_start="probe")
    zoo.ensure(made)
    zoo.ensure(replace(made, adaptation=FullSpec()))
    assert trained == ["backbone (2 source classes)", "head (2 classes)", "model", "model"]
    before = load_file(zoo.backbone_folder(made.backbone.unprobed) / WEIGHTS)
    after = load_file(zoo.backbone_folder(made.backbone) / WEIGHTS)
    moved = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert moved == {"fc.weight", "fc.bias"}
    zoo.ensure(made)
    assert len(trained) == 4, "all is cached"


def test_an_adversarial_probe_is_another_one(zoo: Zoo, trained: list[str]) -> None:
    probes = [
        recipe(LORA_FC, head_start=start, adversarial=PGD)
        for start in ("random", "probe", "adversarial-probe")
    ]
    assert len({made.key for made in probes}) == 3
    assert len({made.backbone.key for made in probes}) == 3
    for made in probes:
        zoo.ensure(made)
    heads = [load_file(zoo.backbone_folder(made.backbone) / WEIGHTS)["fc.weight"] for made in probes[1:]]
    assert not torch.equal(*heads)
    assert trained.count("head (2 classes)") == 2
    card = zoo.card(probes[2])
    assert card is not None
    assert card.robust is not None
    assert (card.robust.method, card.robust.eps, len(card.robust.pgd)) == ("pgd", "16/255", 1)


def test_what_is_not_trained_has_no_probe() -> None:
    made = recipe(NoneSpec(method="none"), head_start="probe")
    assert made.backbone.probe is None


def test_an_adversarial_probe_needs_to_know_the_adversary() -> None:
    with pytest.raises(ValidationError, match="adversarial-probe needs adversarial"):
        quick(head_start="adversarial-probe")


def test_keys_of_recipes_that_ask_for_none_of_it_are_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they were, by the rule of that time, before any training was adversarial."""
    monkeypatch.setattr("adapters.cache.recipe.RECIPE_VERSION", 3)
    plain = Recipe(
        "model", Backbone(BackboneSpec(), None, 0), FullSpec(), TrainingSpec(), recipe(FullSpec()).images, 0
    )
    assert plain.key == "f74b826d4674f99d915e9cc18100cc1c"
    assert (
        recipe(LORA_FC, optimizer="adamw", early_stopping={"patience": 3}).key
        == "37245e12d3d539f0233be3a9926af2d8"
    )


def test_keys_are_of_what_eps_means_not_of_how_it_is_written() -> None:
    same = [recipe(LORA_FC, adversarial={**PGD, "eps": eps}) for eps in ("16/255", "32/510", " 16 / 255")]
    assert len({made.key for made in same}) == 1
    assert recipe(LORA_FC, adversarial={**PGD, "random_start": True}).key == same[0].key, (
        "a default that is written out"
    )
    for changed in (
        {"eps": "8/255"},
        {"steps": 3},
        {"batchnorm": "train"},
        {"clean_share": 0.5},
        {"method": "mart"},
    ):
        assert recipe(LORA_FC, adversarial={**PGD, **changed}).key != same[0].key, changed
