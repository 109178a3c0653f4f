"""Weights that know their classes by name, in another order than the data's."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.models import ResNet18_Weights

from adapters.backbones.networks import build_backbone
from adapters.backbones.own_classes import note_on_classes
from adapters.spec import BackboneSpec
from bench.cli.commands import main
from tests.adapters.test_models import plain_peft_adapter

DATA = ("a", "b", "c")
SAID = (
    'the weights name their classes in another order (label 0 is \'c\' there): give classes: ["c", "a", "b"]'
)
SAME, OTHER = ["a", "b", "c"], ["c", "a", "b"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"classes": OTHER}, True),
        ({"class_names": tuple(OTHER)}, True),
        ({"class_to_idx": {"a": 1, "b": 2, "c": 0}}, True),
        ({"idx_to_class": {0: "c", 1: "a", 2: "b"}}, True),
        ({"id2label": {"0": "c", "1": "a", "2": "b"}}, True),
        ({"classes": SAME}, False),
        ({"classes": ["c", "a", "x"]}, False),  # other classes: nobody knows which is which
        ({"classes": 3}, False),
        ({"class_to_idx": {"a": 1, "b": 2, "c": 5}}, False),
        ({"id2label": {"zero": "c"}}, False),
        ({}, False),
    ],
)
def test_a_checkpoint_s_own_list(entry: dict[str, Any], said: bool, tmp_path: Path) -> None:
    torch.save({"state_dict": {"w": torch.zeros(1)}, **entry}, tmp_path / "weights.pt")
    spec = BackboneSpec(weights=str(tmp_path / "weights.pt"))
    assert note_on_classes(spec, DATA) == ((SAID,) if said else ())


def test_a_configuration_beside_the_weights_and_published_ones(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18", "label_names": OTHER}))
    assert note_on_classes(BackboneSpec(weights=str(tmp_path / "model.safetensors")), DATA) == (SAID,)
    names = ("goldfish", "tench", *(str(i) for i in range(998)))
    assert note_on_classes(BackboneSpec(weights="IMAGENET1K_V1"), names) == ()
    own = ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    (said,) = note_on_classes(BackboneSpec(weights="IMAGENET1K_V1"), tuple(sorted(own)))
    assert said.endswith("(label 0 is 'tench' there): give classes: all 1000 in that order")
    assert note_on_classes(BackboneSpec(), DATA) == ()


def test_the_leaderboard_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = build_backbone(BackboneSpec(), 2, 0)
    torch.save({"state_dict": network.state_dict(), "classes": ["7", "6"]}, tmp_path / "weights.pt")
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        f"name: s\nbackbone: {{weights: {tmp_path / 'weights.pt'}, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5,"
        " 0.5]}\ndata: {source: digits, classes: [6, 7], size: 16, samples: 4}\nmodels: [{name: m,"
        " adaptation: {method: none}}]\neps: [1/255]\nattacks: [{attack: fgsm}]\ntrust: off\n"
    )
    assert main(["run", str(suite), "--results", str(tmp_path / "results"), "--format", "md"]) == 0
    said = 'in another order (label 0 is \'7\' there): give classes: ["7", "6"]'
    assert f"- m: the weights name their classes {said}" in capsys.readouterr().out


def test_a_backbone_that_nothing_has_trained_is_said_to_be_random(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights that were forgotten: under an adapter with a head of its own nothing else would tell."""
    adapter, network = tmp_path / "a", build_backbone(BackboneSpec(), 2, 1)
    plain_peft_adapter(adapter, network, target_modules=["conv1"], modules_to_save=["fc"])
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "name: s\nbackbone: {architecture: resnet18}\ndata: {source: digits, classes: [6, 7], size: 16,"
        f" samples: 4}}\nmodels: [{{name: m, adaptation: {{method: peft, path: {adapter}}}}}]\neps:"
        " [1/255]\nattacks: [{attack: fgsm}]\nlibraries: [foolbox]\ntrust: off\n"
    )
    assert main(["run", str(suite), "--results", str(tmp_path / "results")]) == 0
    assert "m: the backbone's weights are random: give weights" in capsys.readouterr().out
    suite.write_text(suite.read_text().replace(f"method: peft, path: {adapter}", "method: none"))
    assert main(["run", str(suite), "--results", str(tmp_path / "results")]) == 2
    assert "the data have 2; choose" in (error := capsys.readouterr().err)
    assert "or adapt the backbone; the backbone's weights are random: give weights" in error
