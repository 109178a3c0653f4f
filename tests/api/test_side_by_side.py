"""Models of several origins in one suite: one leaderboard, and verdicts pair by pair on the same samples."""

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import bench
from adapters.backbones.networks import build_backbone
from adapters.spec import BackboneSpec
from bench import data
from bench.cli.commands import main
from bench.data.spec import DataSpec
from tests.builders.plain_loop import Flags, briefly_trained, fgsm, pgd, right
from tests.builders.small import digits

OWN = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, width, classes=5):
        features = nn.Conv2d(3, width, 4, 4), nn.BatchNorm2d(width), nn.ReLU()
        super().__init__(*features, nn.Flatten(), nn.Linear(width * 64, classes))
"""
VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 2}
SUITE = """
name: side_by_side
backbone: {architecture: timm/test_resnet, weights: base.pt, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]}
data: {source: digits, classes: [0, 1, 2, 3, 4], samples: 40, train_per_class: 20}
training: {epochs: 4, lr: 0.05, augmentation: none, schedule: constant}
models:
  - {name: base, adaptation: {method: none}}
  - {name: lora, adaptation: {method: lora, targets: [fc]}}
  - {name: elsewhere, adaptation: {method: none}, weights: tuned.safetensors}
  - name: vit
    adaptation: {method: none}
    backbone:
      architecture: timm/vit_tiny_patch16_224
      kwargs: {img_size: 32, patch_size: 8, embed_dim: 24, depth: 1, num_heads: 2}
      weights: vit.pth
      mean: [0.1, 0.1, 0.1]
      std: [0.5, 0.5, 0.5]
  - name: own
    adaptation: {method: none}
    backbone:
      {architecture: "nets.small:Net", kwargs: {width: 8}, weights: own.ckpt, mean: [0, 0, 0], std: [1, 1, 1]}
eps: [2/255, 16/255]
headline_eps: 16/255
attacks:
  - attack: fgsm
  - {attack: pgd, steps: 4, rel_step_size: 0.4, random_start: false}
trust: off
"""


class AttributeDict(dict[str, Any]):
    """As Lightning has it."""


def save_as_lightning_does(network: nn.Module, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint of Lightning's Trainer, with hyperparameters of a type of its own."""
    module = types.ModuleType("lightning_fabric.utilities.data")
    module.AttributeDict = AttributeDict  # type: ignore[attr-defined]
    monkeypatch.setattr(AttributeDict, "__module__", module.__name__)
    for name in ("lightning_fabric", "lightning_fabric.utilities", module.__name__):
        monkeypatch.setitem(sys.modules, name, module)
    torch.save(
        {
            "epoch": 3, "global_step": 40, "pytorch-lightning_version": "2.4.0",
            "state_dict": {f"model.{name}": tensor for name, tensor in network.state_dict().items()},
            "hyper_parameters": AttributeDict(lr=0.1, width=8), "optimizer_states": [{"state": {}}],
            "lr_schedulers": [],
            "callbacks": {"ModelCheckpoint{'monitor': 'val'}": {"best_model_score": torch.tensor(0.5)}},
            "loops": {},
        },
        file,
    )  # fmt: skip
    monkeypatch.undo()


def networks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[nn.Module, float, float]]:
    """What the suite attacks untrained, saved in ``folder``: each with its mean and deviation."""
    from safetensors.torch import save_file

    images, namespace = digits("train"), dict[str, Any]()
    (folder / "nets").mkdir()
    (folder / "nets/small.py").write_text(OWN)
    exec(OWN, namespace)  # noqa: S102 (the same class, without the product)
    torch.manual_seed(0)
    resnet, vit = (
        BackboneSpec(architecture="timm/test_resnet"),
        BackboneSpec(architecture="timm/vit_tiny_patch16_224", kwargs=VIT),
    )
    found = {
        "base": (briefly_trained(build_backbone(resnet, 5, 0), images, 0.5, 0.25, steps=60), 0.5, 0.25),
        "elsewhere": (briefly_trained(build_backbone(resnet, 5, 1), images, 0.5, 0.25, steps=40), 0.5, 0.25),
        "vit": (briefly_trained(build_backbone(vit, 5, 0), images, 0.1, 0.5, steps=40), 0.1, 0.5),
        "own": (briefly_trained(namespace["Net"](8), images, 0.0, 1.0, steps=20), 0.0, 1.0),
    }
    torch.save(found["base"][0].state_dict(), folder / "base.pt")
    save_file(found["elsewhere"][0].state_dict(), folder / "tuned.safetensors")
    torch.save(
        {"model": {f"module.{k}": v for k, v in found["vit"][0].state_dict().items()}}, folder / "vit.pth"
    )
    save_as_lightning_does(found["own"][0], folder / "own.ckpt", monkeypatch)
    return found


def holding(network: nn.Module, mean: float, std: float) -> dict[tuple[str, str], Flags]:
    """By attack and eps, which samples a plain loop does not get ``network`` to predict wrongly."""
    images = data.load(DataSpec.model_validate({"classes": [0, 1, 2, 3, 4], "samples": 40}), "test")
    x, y = torch.from_numpy(images.x), torch.from_numpy(images.labels)

    def logits(x: torch.Tensor) -> torch.Tensor:
        return network((x - mean) / std)  # type: ignore[no-any-return]

    clean, found = right(logits, x, y), {}
    for eps in (2, 16):
        found["fgsm", f"{eps}/255"] = clean & right(logits, fgsm(logits, x, y, eps / 255), y)
        x_adv = pgd(logits, x, y, eps / 255, steps=4, rel_step_size=0.4)
        found["pgd-4", f"{eps}/255"] = clean & right(logits, x_adv, y)
    return found


def test_five_models_of_three_origins_on_one_leaderboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = {name: holding(*network) for name, network in networks(tmp_path, monkeypatch).items()}
    (tmp_path / "suite.yaml").write_text(SUITE)
    assert main(["run", str(tmp_path / "suite.yaml"), "--results", str(tmp_path / "r"), "--allow-code"]) == 0
    said = capsys.readouterr().out
    result = bench.load(tmp_path / "r")
    assert set(result.leaderboard["model"]) == {"base", "lora", "elsewhere", "vit", "own"}
    for (model, attack, eps, _), rows in result.samples.groupby(["model", "attack", "eps", "library"]):
        if model in plain:
            held = (rows["label"] == rows["clean_pred"]) & ~rows["success"]
            np.testing.assert_array_equal(held.to_numpy(), plain[model][attack, eps])
    pairs = result.comparisons.query(
        "baseline == 'base' and attack == 'pgd-4' and eps == '16/255'"
    ).set_index("model")
    assert set(pairs.index) == {"lora", "elsewhere", "vit", "own"}
    base = plain["base"]["pgd-4", "16/255"]
    for model in ("elsewhere", "vit", "own"):
        other = plain[model]["pgd-4", "16/255"]
        assert pairs.loc[model, "robust_only_first"] == (other & ~base).sum()
        assert pairs.loc[model, "robust_only_second"] == (base & ~other).sum()
    assert "vs base, " in said
    assert "normalisation of vit: mean 0.1" in said
    assert "own.ckpt: the weights under 'state_dict' with the prefix 'model.' taken off" in " ".join(
        said.split()
    )
