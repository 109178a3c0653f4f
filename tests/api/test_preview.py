"""What a dry run says of the time that a new suite takes."""

from dataclasses import replace
from pathlib import Path

import pytest

from adapters.spec import BackboneSpec
from bench.api.preview import preview
from bench.attacks.cost import Cost, cost
from bench.attacks.spec import (
    Apgd,
    Arc,
    Attack,
    Boundary,
    DeepFool,
    Fgsm,
    GeoDa,
    HopSkipJump,
    Noise,
    Pgd,
    SimBa,
    Spatial,
    Square,
    Strong,
    Zoo,
)
from bench.engine.options import Options
from bench.engine.probe import Probe
from bench.errors import SuiteError
from bench.render.listing import preview_table
from bench.suite.suite import load_suite
from tests.builders.tiny import TINY
from tests.render.test_leaderboard_formats import printed_of


@pytest.mark.parametrize(
    ("attack", "expected"),
    [
        (Fgsm(attack="fgsm"), Cost(gradients=1)),
        (Pgd(attack="pgd", steps=7), Cost(gradients=7)),
        (Apgd(attack="apgd", steps=50, restarts=3), Cost(gradients=150)),
        (DeepFool(attack="deepfool", steps=9), Cost(gradients=9)),
        (Arc(attack="arc", steps=5, candidates=3), Cost(gradients=15)),
        (GeoDa(attack="geoda", queries=300), Cost(queries=300)),
        (Boundary(attack="boundary", steps=300), Cost(queries=300)),
        (Square(attack="square", steps=200, restarts=2), Cost(queries=400)),
        (SimBa(attack="simba", steps=10), Cost(queries=20)),
        (Zoo(attack="zoo", steps=12, binary_search_steps=1), Cost(queries=2 * 128 * 12)),
        (HopSkipJump(attack="hopskipjump", steps=4, initial_evaluations=100), Cost(queries=615 + 4 * 18)),
        (HopSkipJump(attack="hopskipjump", steps=100, max_evaluations=60), Cost(queries=50 + 99 * 60 + 1800)),
        (Noise(attack="noise", repeats=10), Cost(queries=10)),
        (Spatial(attack="spatial", shifts=3, rotations=5), Cost(queries=45)),
        (
            Strong(attack="strong", steps=10, targets=4, queries=50),
            Cost(gradients=10 * (1 + 1 + 4), queries=50),
        ),
    ],
    ids=lambda one: getattr(one, "attack", ""),
)
def test_what_an_attack_asks_for_one_image(attack: Attack, expected: Cost) -> None:
    assert cost(attack) == expected


def test_a_new_suite_is_estimated_by_one_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[BackboneSpec] = []

    def measured(_: Probe, spec: BackboneSpec) -> tuple[float, float]:
        timed.append(spec)
        return 0.5, 0.125

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
    gradient, query = (probe.seconds(BackboneSpec(), asked) for asked in (Cost(gradients=1), Cost(queries=1)))
    assert 0 < query < gradient < 10, "a gradient goes back too"
    assert probe.seconds(BackboneSpec(), Cost(2, 3)) == 2 * gradient + 3 * query, "it is timed once"
