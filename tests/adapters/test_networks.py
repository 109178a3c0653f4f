"""Which network each model of a suite adapts: its own weights and arguments, the images they ask for, and
mistakes in them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from adapters.backbones.networks import build_backbone, save_backbone
from adapters.cache.zoo import Zoo
from adapters.preprocessing import Preprocessing
from adapters.spec import BackboneSpec
from bench.data import Fit
from bench.engine.job import make_job
from bench.engine.networks import images_for, networks_of
from bench.errors import SuiteError
from bench.ids import ModelId
from bench.suite.suite import Suite, load_suite, place_of

HALF = (0.5, 0.5, 0.5)
VIT = "timm/vit_tiny_patch16_224"
ARGUMENTS = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 2}
PUBLISHED = {"architecture": "resnet18", "weights": "IMAGENET1K_V1"}


def suite(*models: dict[str, Any], **options: Any) -> Suite:
    """A suite of ``models``, which are not adapted unless they say so."""
    named = [{"name": f"m{i}", "adaptation": {"method": "none"}, **model} for i, model in enumerate(models)]
    common = {
        "name": "s",
        "data": {"classes": [0, 1, 2], "samples": 6},
        "eps": ["2/255"],
        "attacks": [{"attack": "fgsm"}],
    }
    return Suite.model_validate({**common, "models": named, **options})


def asked(suite: Suite) -> tuple[int | None, Fit | None]:
    return images_for(suite, networks_of(suite))


def weights(folder: Path, seed: int, expects: Preprocessing, spec: BackboneSpec | None = None) -> str:
    """A file of weights as we save them."""
    file = folder / f"{seed}.safetensors"
    save_backbone(build_backbone(spec or BackboneSpec(), 3, seed), file, expects)
    return str(file)


def test_each_model_has_its_own_weights_with_their_own_normalisation(tmp_path: Path) -> None:
    first = weights(tmp_path, 1, Preprocessing(HALF, HALF, "training", 16))
    second = weights(tmp_path, 2, Preprocessing((0.1, 0.2, 0.3), (0.25,) * 3, "training", 16))
    made = suite(
        {},
        {"weights": second},
        {"backbone": {"architecture": "resnet18", "weights": second, "mean": HALF, "std": HALF}},
        backbone={"architecture": "resnet18", "weights": first},
    )
    job, zoo = make_job(made), Zoo(tmp_path / "cache", lambda _: lambda *_: None)
    assert job.samples.input_shape == (3, 16, 16)
    x = torch.rand(2, 3, 16, 16)
    for model, seed, mean, std, origin in (
        ("m0", 1, HALF, HALF, "weights"), ("m1", 2, (0.1, 0.2, 0.3), (0.25,) * 3, "weights"),
        ("m2", 2, HALF, HALF, "suite"),
    ):  # fmt: skip
        recipe = job.recipes[ModelId(model, 0)]
        card = zoo.ensure(recipe)
        plain = build_backbone(BackboneSpec(), 3, seed).eval()
        shifted = (x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
        with torch.inference_mode():
            assert torch.equal(zoo.load(recipe, card.sha256)(x), plain(shifted))
        assert card.preprocessing == Preprocessing(mean, std, origin, 16)  # type: ignore[arg-type]


def test_weights_that_are_trained_here_bring_back_what_they_were_trained_with(tmp_path: Path) -> None:
    """Named as a file in another suite, which says nothing of it."""
    network = {"architecture": "timm/test_resnet", "mean": [0.1, 0.2, 0.3], "std": [0.25, 0.25, 0.25]}
    training = {"epochs": 1, "augmentation": "none", "schedule": "constant"}
    data = {
        "classes": [0, 1, 2],
        "samples": 6,
        "train_per_class": 4,
        "size": 40,
        "crop_pct": 0.8,
        "interpolation": "bicubic",
    }
    adapted = {"adaptation": {"method": "full"}, "training": training}
    job = make_job(suite(adapted, backbone=network, data=data))
    zoo, recipe = Zoo(tmp_path / "cache", lambda _: lambda *_: None), job.recipes[ModelId("m0", 0)]
    card = zoo.ensure(recipe)
    mean, std = (0.1, 0.2, 0.3), (0.25, 0.25, 0.25)
    assert card.preprocessing == Preprocessing(mean, std, "suite", 40, 50, "bicubic")
    named = {"architecture": "timm/test_resnet", "weights": str(zoo.folder(recipe) / "model.safetensors")}
    again = suite({}, backbone=named)
    assert asked(again) == (40, Fit(40, 50, "bicubic"))
    taken = make_job(suite({}, backbone=named, data={"classes": [0, 1, 2]})).recipes[ModelId("m0", 0)]
    found = zoo.ensure(taken)
    assert found.preprocessing == Preprocessing(mean, std, "weights", 40, 50, "bicubic")
    x = torch.rand(2, 3, 40, 40)
    with torch.inference_mode():
        assert torch.equal(zoo.load(taken, found.sha256)(x), zoo.load(recipe, card.sha256)(x))


def test_a_matrix_has_weights_of_its_own_too() -> None:
    made = suite(
        {}, backbone={}, matrix={"targets": {"fc": ["fc"]}, "method": ["lora", "loha"], "weights": "other.pt"}
    )
    assert [made.backbone_of(model).weights for model in made.models] == [None, "other.pt", "other.pt"]


def test_a_suite_says_what_is_adapted_once_or_in_each_model() -> None:
    whole = {"backbone": {"architecture": "resnet18"}}
    assert suite(whole, whole).backbone is None
    for models, message in (
        ([whole, {}], "the key 'backbone' is missing: the suite's, or one in each model"),
        ([{"weights": "a.pt"}], "the suite has no backbone to put these weights on"),
        ([{**whole, "weights": "a.pt"}], "has both backbone and weights"),
    ):
        with pytest.raises(ValueError, match=message):
            suite(*models)


def test_published_weights_bring_their_size_and_the_way_to_it() -> None:
    assert asked(suite({}, backbone=PUBLISHED)) == (224, Fit(224, 256, "bilinear"))
    timm = {"architecture": f"{VIT}.augreg_in21k_ft_in1k", "weights": "pretrained"}
    assert asked(suite({}, backbone=timm)) == (224, Fit(224, 248, "bicubic"))
    assert asked(suite({}, backbone={})) == (None, None)
    assert asked(suite({}, backbone={"weights": "mine.pt"})) == (None, None)


def test_the_suites_own_size_and_way_go_first() -> None:
    assert asked(suite({}, backbone=PUBLISHED, data={"size": 64})) == (64, None)  # no margin to be cut off
    assert asked(suite({}, backbone=PUBLISHED, data={"interpolation": "nearest"})) == (
        224,
        Fit(224, 256, "nearest"),
    )
    assert asked(suite({}, backbone=PUBLISHED, data={"crop_pct": 1})) == (224, Fit(224, 224, "bilinear"))


def test_models_that_ask_for_different_images_are_refused_unless_the_suite_says_which() -> None:
    larger, bicubic = (
        {"architecture": name, "weights": "IMAGENET1K_V1"} for name in ("efficientnet_b3", "efficientnet_b0")
    )
    with pytest.raises(SuiteError, match=r"different sizes \(m0: 224; m1: 300\); give size here") as caught:
        asked(suite({}, {"backbone": larger}, backbone=PUBLISHED))
    assert caught.value.where == ("data",)
    pair = [{}, {"backbone": bicubic}]
    with pytest.raises(
        SuiteError, match=r"m0: 224 of 256 px, bilinear; m1: 224 of 256 px, bicubic\); give interpolation and"
    ):
        asked(suite(*pair, backbone=PUBLISHED))
    chosen = asked(suite(*pair, backbone=PUBLISHED, data={"interpolation": "bicubic"}))
    assert chosen == (224, Fit(224, 256, "bicubic"))
    assert asked(suite({}, {"weights": "mine.pt"}, backbone=PUBLISHED)) == (224, Fit(224, 256, "bilinear"))


def test_arguments_reach_the_constructor_and_set_the_size(tmp_path: Path) -> None:
    spec = BackboneSpec(architecture=VIT, kwargs=ARGUMENTS)
    network = build_backbone(spec, 3, 5).eval()
    assert (network.patch_embed.patch_size, len(network.blocks)) == ((8, 8), 1)  # type: ignore[union-attr, arg-type]
    file = weights(tmp_path, 5, Preprocessing(HALF, HALF, "training"), spec)
    job = make_job(suite({}, backbone={"architecture": VIT, "kwargs": ARGUMENTS, "weights": file}))
    assert job.samples.input_shape == (3, 32, 32)
    recipe = job.recipes[ModelId("m0", 0)]
    zoo, x = Zoo(tmp_path / "cache", lambda _: lambda *_: None), torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(zoo.load(recipe, zoo.ensure(recipe).sha256)(x), network((x - 0.5) / 0.5))
    reordered = recipe.backbone.spec.model_copy(update={"kwargs": dict(reversed(ARGUMENTS.items()))})
    assert replace(recipe, backbone=replace(recipe.backbone, spec=reordered)).key == recipe.key


SUITE = """
name: s
backbone: {architecture: resnet18}
data: {classes: [0, 1, 2], samples: 6}
eps: [2/255]
attacks: [{attack: fgsm}]
models:
  - {name: a, adaptation: {method: none}}
  - name: b
    adaptation: {method: none}
    backbone:
      architecture: ARCHITECTURE
      kwargs: {KWARGS}
"""


@pytest.mark.parametrize(
    ("architecture", "kwargs", "message"),
    [
        (VIT, "img_sise: 32", "has no argument 'img_sise'; did you mean 'img_size'?"),
        (
            "resnet18",
            "width_per_grup: 64",
            "has no argument 'width_per_grup'; did you mean 'width_per_group'?",
        ),
        ("mobilenet_v3_small", "drop_out: 0.5", "has no argument 'drop_out'; did you mean 'dropout'?"),
        (
            "resnet18",
            "num_classes: 3",
            "'num_classes' of resnet18 cannot be set here: it follows the weights, or the data",
        ),
        (
            VIT,
            "pretrained_cfg: {file: a.pt}",
            "'pretrained_cfg' of timm/vit_tiny_patch16_224 cannot be set here",
        ),
        (VIT, "depth: none", "cannot be made with .*depth"),
        ("resnet18", "layers: [1, 1, 1, 1]", "cannot be made with .*layers"),
        ("timm/vit_tinny", "depth: 1", "timm has no model 'vit_tinny'"),
    ],
)
def test_a_mistake_in_the_arguments_is_named_at_its_line(
    tmp_path: Path, architecture: str, kwargs: str, message: str
) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(SUITE.replace("ARCHITECTURE", architecture).replace("KWARGS", kwargs))
    with pytest.raises(SuiteError, match=message) as caught:
        make_job(load_suite(file))
    assert place_of(file, caught.value) == f"{file}:{12 if 'no model' in message else 13}"


def test_a_constructor_takes_plain_values_only(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(
        SUITE.replace("ARCHITECTURE", "resnet18").replace("KWARGS", "zero_init_residual: 2024-01-01")
    )
    with pytest.raises(Exception, match=r"suite.yaml:13: .*JSON"):
        load_suite(file)


def test_a_file_that_is_no_weights_is_named_where_the_model_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_backbone(
        build_backbone(BackboneSpec(), 3, 0),
        tmp_path / "good.safetensors",
        Preprocessing(HALF, HALF, "training"),
    )
    (tmp_path / "text.pt").write_text("not weights")
    file = tmp_path / "suite.yaml"
    head, _ = SUITE.replace("resnet18}", "resnet18, weights: good.safetensors}").split("    backbone:\n")
    for name in ("text.pt", "gone.pt"):
        file.write_text(f"{head}    weights: {name}\n")
        with pytest.raises(SuiteError, match=name) as caught:
            make_job(load_suite(file)).for_each(Zoo(tmp_path / "cache", lambda _: lambda *_: None).ensure)
        assert place_of(file, caught.value) == f"{file}:11"
