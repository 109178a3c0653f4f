"""The registries of backbone sources and of adaptations, and what installed packages add to them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm

from adapters.backbones import sources
from adapters.backbones.sources import source_of
from adapters.methods import registry
from adapters.spec import BackboneSpec
from bench.cli.commands import main

PACKAGE = '''
"""Networks of a package: a perceptron, written blocks/NAME."""

from torch import nn

from adapters.backbones.source import BackboneSource
from adapters.errors import ModelError, about


class Blocks(BackboneSource):
    prefix = "blocks/"

    @about("architecture")
    def check(self, spec):
        if spec.architecture != "blocks/flat":
            raise ModelError(f"blocks has no network '{spec.architecture}'")

    def make(self, spec, num_classes):
        self.check(spec)
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, num_classes))
'''
SUITE = """name: s
backbone: {architecture: blocks/NAME}
data: {classes: [0, 1], samples: 6, size: 16, train_per_class: 4}
training: {epochs: 1, augmentation: none, schedule: constant}
models: [{name: full}, {name: head, adaptation: {method: head}}]
eps: [2/255]
attacks: [{attack: fgsm}]
trust: off
"""


@pytest.fixture
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with an entry point, as pip leaves it."""
    (tmp_path / "blocks_of_theirs.py").write_text(PACKAGE)
    info = tmp_path / "blocks_of_theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: blocks-of-theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{sources.GROUP}]\nblocks = blocks_of_theirs:Blocks\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    sources.sources.cache_clear()
    yield
    sources.sources.cache_clear()


@pytest.mark.usefixtures("_installed")
def test_a_source_of_a_package_trains_and_is_attacked_as_ours_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    suite = tmp_path / "suite.yaml"
    suite.write_text(SUITE.replace("NAME", "flat"))
    assert main(["run", str(suite), "--results", str(tmp_path / "results")]) == 0
    assert "full" in capsys.readouterr().out
    suite.write_text(SUITE.replace("NAME", "cube"))
    assert main(["run", str(suite), "--results", str(tmp_path / "results")]) == 2
    assert "suite.yaml:2: blocks has no network 'blocks/cube'" in capsys.readouterr().err


def test_a_name_without_a_prefix_is_torchvision_s() -> None:
    named = {"resnet18": "Torchvision", "timm/vit_tiny_patch16_224": "Timm"}
    assert {name: type(source_of(BackboneSpec(architecture=name))).__name__ for name in named} == named


SCALED = '''
"""A way to adapt of a package: a scale for each channel after the first layers is trained, and the head."""

from typing import Literal

import torch
from torch import nn

from adapters.methods.method import Method
from adapters.spec import Adaptation


class ScaledSpec(Adaptation):
    method: Literal["scaled"]
    start: float = 1.0


class Scale(nn.Module):
    def __init__(self, layer, start):
        super().__init__()
        self.layer, self.scale = layer, nn.Parameter(torch.full((layer.num_features, 1, 1), start))

    def forward(self, x):
        return self.layer(x) * self.scale


class Scaled(Method):
    spec = ScaledSpec

    def adapt(self, network, spec, seed):
        network = self.reshaped(network)
        nn.init.constant_(network.bn1.scale, spec.start)
        network.bn1.scale.requires_grad_(True)
        network.fc.requires_grad_(True)
        return network

    def is_meant(self, network, spec, name):
        return name == "bn1.scale" or name.startswith("fc.")

    def reshaped(self, network):
        network.bn1 = Scale(network.bn1, 1.0)
        return network
'''
OTHER = """name: s
backbone: {architecture: timm/test_resnet}
data: {classes: [0, 1], samples: 6, size: 16, train_per_class: 4}
training: {epochs: 1, augmentation: none, schedule: constant}
models: [{name: scaled, adaptation: {method: scaled, start: 2}}]
eps: [2/255]
attacks: [{attack: fgsm}]
trust: off
"""
RUN = """
import sys
from bench.cli.commands import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_way_to_adapt_of_a_package_is_declared_trained_and_kept_as_ours_are(tmp_path: Path) -> None:
    """In a process of its own: what suites may hold is settled when they are first read."""
    (tmp_path / "scaled_by_them.py").write_text(SCALED)
    info = tmp_path / "scaled_by_them-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: scaled-by-them\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\nscaled = scaled_by_them:Scaled\n")
    (tmp_path / "suite.yaml").write_text(OTHER)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-c", RUN, *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
        )

    first = run("run", "suite.yaml", "--format", "json")
    assert first.returncode == 0, first.stderr
    (model,) = json.loads(first.stdout)["models"]
    plain = timm.create_model("test_resnet")
    assert model["trainable_parameters"] == plain.bn1.num_features + 2 * (plain.num_features + 1)
    (tmp_path / "suite.yaml").write_text(OTHER.replace("start", "strat"))
    assert "suite.yaml:5: unknown key 'strat'; did you mean 'start'?" in run("run", "suite.yaml").stderr
