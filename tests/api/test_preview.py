"""What a dry run says of the time that a new suite takes."""

from dataclasses import replace
from pathlib import Path

import pytest

from adapters.spec import BackboneSpec
from bench.api.preview import preview
from bench.attacks.spec import Apgd, DeepFool, Fgsm, GeoDa, Pgd
from bench.engine.options import Options
from bench.engine.probe import Probe, passes
from bench.errors import SuiteError
from bench.render.listing import preview_table
from bench.suite.suite import load_suite
from tests.builders.tiny import TINY
from tests.render.test_leaderboard_formats import printed_of


def test_passes_are_those_of_the_parameters() -> None:
    assert passes(Fgsm(attack="fgsm")) == 1
    assert passes(Pgd(attack="pgd", steps=7)) == 7
    assert passes(Apgd(attack="apgd", steps=50, restarts=3)) == 150
    assert passes(DeepFool(attack="deepfool", steps=9)) == 9
    assert passes(GeoDa(attack="geoda", queries=300)) == 300


def test_a_new_suite_is_estimated_by_one_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[BackboneSpec] = []

    def measured(_: Probe, spec: BackboneSpec) -> float:
        timed.append(spec)
        return 0.5

    monkeypatch.setattr(Probe, "_measured", measured)
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)
    found = preview(load_suite(file), Options(tmp_path / "none", cache=tmp_path / "cache", workers=1))
    assert len(timed) == 1, "models of one architecture are timed once"
    n, eps = 12, 2
    assert {(u.label.split("/")[2], u.seconds, u.probed) for u in found.units} == {
        ("fgsm", 0.5 * n * eps, True),
        ("pgd-3", 0.5 * n * eps * 3, True),
    }
    images = [178, 182, 177, 182, 181, 182, 181, 179, 174, 180]  # of each digit in scikit-learn's set
    halves = sum(images[digit] // 2 for digit in (6, 7))
    assert found.training == 0.5 * (images[0] + images[1] + 2 * halves), "the backbone once, then two models"
    total = sum(u.seconds for u in found.units)
    assert (
        f"16 cells, 0 cached, 16 to compute: about {total:.0f} s, and {found.training:.0f} s of training"
        " (estimated" in (" ".join(printed_of(preview_table(found, 200), 200).split()))
    )
    assert not (tmp_path / "none").exists()
    assert replace(found, workers=4).seconds == total / 4
    assert replace(found, workers=100).seconds == total / len(found.units)


VIT = """
name: vit
backbone: {architecture: timm/test_vit, kwargs: {img_size: 32}, input_size: 32}
data: {source: digits, classes: [0, 1], samples: 12, train_per_class: 10}
models:
  - {name: named, adaptation: {method: lora, targets: [head]}}
  - {name: attention, adaptation: {method: lora, targets: [qkv]}}
  - {name: first, adaptation: {method: oft, targets: '.*0.attn.proj'}}
eps: [8/255]
attacks: [{attack: fgsm}]
"""


def test_a_dry_run_says_which_layers_targets_mean_that_are_no_whole_names(tmp_path: Path) -> None:
    file = tmp_path / "vit.yaml"
    file.write_text(VIT)
    options = Options(tmp_path / "none", cache=tmp_path / "cache", workers=1)
    found = preview(load_suite(file), options)
    blocks = tuple(f"blocks.{i}.attn.qkv" for i in range(len(found.layers["attention"])))
    assert found.layers == {"attention": blocks, "first": ("blocks.0.attn.proj",)}
    printed = " ".join(printed_of(preview_table(found, 200), 200).split())
    assert f"attention: targets mean the {len(blocks)} layers blocks.0.attn.qkv, blocks.1.attn.qkv" in printed
    assert "first: targets mean the layer blocks.0.attn.proj" in printed
    file.write_text(VIT.replace("[qkv]", "[kv]"))
    with pytest.raises(SuiteError, match="target 'kv' is not a layer of this backbone; did you mean 'qkv'"):
        preview(load_suite(file), options)


def test_the_probe_times_a_real_network() -> None:
    probe = Probe("cpu", (3, 16, 16), 2)
    seconds = probe.gradient(BackboneSpec())
    assert 0 < seconds < 10
    assert probe.gradient(BackboneSpec()) == seconds
