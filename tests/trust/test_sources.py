"""Models whose adversarials are tried on another: what was adapted too, with its own head if it has none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from sklearn.linear_model import Ridge
from torch import Tensor, nn

from adapters.cache.zoo import Zoo
from adapters.classifier import Classifier
from adapters.errors import ChangedError
from adapters.spec import NoneSpec
from bench.cli.commands import main
from bench.engine.job import make_job
from bench.engine.runner import make_target
from bench.errors import Exit
from bench.ids import ModelId
from bench.store.evidence import Evidence
from bench.store.trustfile import read_measured
from bench.suite.suite import suite_from
from bench.trust.sources import RIDGE, Refitted, with_a_head
from tests.broken.zoo import classifier, shapes, trained
from tests.builders.tiny import TINY

FULL = TINY.replace(TINY[TINY.index("  - name: lora-fc") : TINY.index("eps:")], "")
LORA = TINY.replace("  - {name: baseline, adaptation: {method: full}}\n", "")
SAMPLES = shapes(160)


def without_head() -> Classifier:
    network = trained(0)
    nn.init.zeros_(network.head.weight)
    nn.init.zeros_(network.head.bias)
    return classifier(network)


def test_a_head_that_holds_nothing_is_fitted_by_ridge_regression() -> None:
    target = make_target(classifier(trained(0)), SAMPLES, 160)
    source = with_a_head(without_head(), target)
    assert isinstance(source, Refitted)
    x, y = torch.from_numpy(SAMPLES.x), SAMPLES.labels
    body = source.inner.get_submodule("network.body")
    features = body((x - 0.5) / 0.25).double().numpy()
    spread = np.square(features - features.mean(0)).sum() / len(features)
    expected = Ridge(alpha=RIDGE * spread).fit(features, np.eye(4)[y]).predict(features)
    assert source(x).numpy() == pytest.approx(expected, abs=1e-3)
    assert (source(x).argmax(1).numpy() == y).mean() > 0.95


def test_the_fitted_head_gives_adversarials_that_break_the_model_whose_head_it_lacks() -> None:
    target = make_target(classifier(trained(0)), SAMPLES, 160)
    source = with_a_head(without_head(), target)
    assert source is not None
    x, y = torch.from_numpy(SAMPLES.x).requires_grad_(True), torch.from_numpy(SAMPLES.labels)
    nn.functional.cross_entropy(source(x), y).backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    with torch.no_grad():
        left = [
            float((target.classifier(moved).argmax(1) == y).float().mean())
            for moved in (x, x + 16 / 255 * x.grad.sign())
        ]
    assert left[0] > 0.95
    assert left[1] < 0.3


def test_a_head_that_says_something_stays() -> None:
    class Flat(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)[:, :4]

    target = make_target(classifier(trained(0)), SAMPLES, 160)
    for source in (classifier(trained(1)), classifier(Flat()), None):
        assert with_a_head(source, target) is source


@pytest.mark.parametrize(
    ("suite", "named"), [(FULL, "the unadapted backbone"), (LORA, "the model without its adapter")]
)
def test_what_a_model_was_adapted_from_is_tried_where_the_suite_has_no_other(
    suite: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "tiny.yaml").write_text(suite)
    asked = ["run", str(tmp_path / "tiny.yaml"), "--results", str(tmp_path / "results"), "--device", "cpu"]
    assert main([*asked, "-o", "/dev/null"]) == Exit.OK
    found = [e for file in tmp_path.glob("results/*/*/trust/*.json") for e in read_measured(file).evidence]
    sibling, *_ = siblings(found)
    assert (sibling.detail, sibling.value is not None) == (named, True)


def siblings(evidence: list[Evidence]) -> list[Evidence]:
    return sorted((e for e in evidence if e.check == "sibling-linf"), key=lambda e: e.model)


def test_the_unadapted_backbone_has_the_weights_that_training_started_from(tmp_path: Path) -> None:
    job = make_job(suite_from(yaml.safe_load(FULL)))
    zoo, recipe = Zoo(tmp_path, lambda _: lambda *_: None), job.recipes[ModelId("baseline", 0)]
    sha256 = zoo.ensure(recipe).sha256
    backbone = zoo.unadapted(recipe, sha256)
    assert backbone is not None
    found = backbone.network.state_dict()
    started = load_file(zoo.backbone_folder(recipe.backbone) / "model.safetensors")
    assert all(torch.equal(found[name], tensor) for name, tensor in started.items() if "fc" not in name)
    assert not found["fc.weight"].any()
    (zoo.folder(recipe) / "model.safetensors").write_bytes(b"")
    with pytest.raises(ChangedError, match="removed or damaged"):
        zoo.unadapted(recipe, sha256)


@pytest.mark.parametrize("without", ["backbone", "training"])
def test_a_random_start_and_an_untrained_model_have_no_backbone_to_try(without: str, tmp_path: Path) -> None:
    (recipe,) = make_job(suite_from(yaml.safe_load(FULL))).recipes.values()
    changed = {
        "backbone": replace(recipe, backbone=replace(recipe.backbone, pretraining=None)),
        "training": replace(recipe, adaptation=NoneSpec(method="none")),
    }
    assert Zoo(tmp_path, lambda _: lambda *_: None).unadapted(changed[without], "") is None
