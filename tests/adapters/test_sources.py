"""The registry of backbone sources, and a source that an installed package adds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.backbones import sources
from adapters.backbones.sources import source_of
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
