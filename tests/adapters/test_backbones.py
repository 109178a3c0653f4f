"""Backbones: torchvision's and timm's, their published weights, and files of weights."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from adapters.backbones.networks import build_backbone, find_head, preprocessing_of, replace_head
from adapters.backbones.weights import load_strictly, read_saved
from adapters.cache.recipe import Backbone, Pretraining, Recipe
from adapters.errors import ModelError
from adapters.images import ImageSet
from adapters.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from adapters.spec import Adaptation, BackboneSpec, HeadSpec, NoneSpec, PeftSpec, TrainingSpec
from tests.adapters.test_models import X, backbone, images, plain_peft_adapter, recipe, zoo
from tests.builders.loaded import loaded


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The weights of a ResNet18 with three classes."""
    file = tmp_path / "backbone.safetensors"
    save_file(backbone().state_dict(), file)
    return file


@pytest.mark.parametrize("architecture", ["googlenet", "inception_v3"])
def test_a_network_with_auxiliary_outputs_is_refused(architecture: str) -> None:
    with pytest.raises(ModelError, match=rf"{architecture} has auxiliary outputs, which are not supported"):
        build_backbone(BackboneSpec(architecture=architecture), 3, 0)


def test_timm_backbones() -> None:
    spec = BackboneSpec(architecture="timm/test_resnet")
    network = build_backbone(spec, 7, 0).eval()
    assert find_head(network)[1].out_features == 7
    assert replace_head(network, 5)(X).shape == (6, 5)
    with pytest.raises(ModelError, match="timm has no model 'resnet_18'"):
        build_backbone(BackboneSpec(architecture="timm/resnet_18"), 2, 0)


def test_published_weights_bring_their_own_preprocessing() -> None:
    spec = BackboneSpec(architecture="timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k", weights="pretrained")
    half = (0.5, 0.5, 0.5)
    assert preprocessing_of(spec) == Preprocessing(half, half, "weights", 224, 248, "bicubic")
    found = preprocessing_of(BackboneSpec(architecture="efficientnet_b3", weights="IMAGENET1K_V1"))
    assert found == Preprocessing(IMAGENET_MEAN, IMAGENET_STD, "weights", 300, 320, "bicubic")
    with pytest.raises(ModelError, match="resnet18 has no weights 'V9'; known: IMAGENET1K_V1"):
        preprocessing_of(BackboneSpec(weights="V9"))
    with pytest.raises(ModelError, match=r"torchvision has no model 'resnet19'; did you mean"):
        build_backbone(BackboneSpec(architecture="resnet19"), 2, 0)


@pytest.mark.parametrize(
    ("architecture", "head"),
    [
        ("timm/test_vit", "head"),
        ("timm/caformer_s18", "head.fc.fc2"),
        ("timm/sequencer2d_s", "head.fc"),
        ("vit_b_32", "heads.head"),
        ("maxvit_t", "classifier.5"),
    ],
)
def test_the_head_is_the_layer_that_gives_the_logits(architecture: str, head: str) -> None:
    with torch.device("meta"):
        network = build_backbone(BackboneSpec(architecture=architecture), 7, 0)
        name, layer = find_head(replace_head(network, 5))
    assert (name, layer.out_features) == (head, 5)


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        ("timm/levit_128s", r"has 2 heads \(head\.linear, head_dist\.linear\), which cannot be replaced"),
        ("timm/efficientformer_l1", r"has 2 heads \(head, head_dist\), which cannot be replaced"),
        (
            "timm/resnetv2_50x1_bit",
            "the last layer of this backbone is not linear: its head cannot be replaced",
        ),
        ("squeezenet1_1", "the last layer of this backbone is not linear: its head cannot be replaced"),
    ],
)
def test_a_head_that_cannot_be_replaced_is_refused(architecture: str, reason: str) -> None:
    with torch.device("meta"):
        network = build_backbone(BackboneSpec(architecture=architecture), 7, 0)
    with pytest.raises(
        ModelError, match=rf"{reason}; take another backbone, or method 'none' with as many classes"
    ):
        replace_head(network, 5)


def headless(architecture: str, side: int, file: Path) -> tuple[nn.Module, Recipe]:
    """A network whose head cannot be replaced, with three classes, and as a model that is not adapted."""
    network = build_backbone(BackboneSpec(architecture=architecture), 3, 0).eval()
    save_file(network.state_dict(), file)
    spec = BackboneSpec(architecture=architecture, weights=str(file), mean=(0.5,) * 3, std=(0.5,) * 3)
    pictures = ImageSet(np.zeros((0, 3, side, side), np.uint8), np.zeros(0, np.int64), (), ("a", "b", "c"))
    return network, Recipe("m", Backbone(spec, None, 0), NoneSpec(method="none"), TrainingSpec(), pictures, 0)


@pytest.mark.parametrize(("architecture", "side"), [("squeezenet1_1", 64), ("timm/levit_128s", 224)])
def test_a_network_with_such_a_head_is_taken_as_it_is(architecture: str, side: int, tmp_path: Path) -> None:
    network, made = headless(architecture, side, tmp_path / "weights.safetensors")
    x = torch.rand(2, 3, side, side)
    with torch.no_grad():
        assert torch.equal(loaded(zoo(tmp_path), made)(x), network((x - 0.5) / 0.5))
    pretrained = Backbone(
        BackboneSpec(architecture=architecture), Pretraining(TrainingSpec(), made.images), 0
    )
    zoo(tmp_path).check(replace(made, backbone=pretrained))
    with pytest.raises(ModelError, match="cannot be replaced"):
        loaded(zoo(tmp_path), replace(made, adaptation=HeadSpec(method="head")))


def test_an_adapter_of_peft_on_a_network_with_such_a_head_is_loaded(tmp_path: Path) -> None:
    network, made = headless("squeezenet1_1", 64, tmp_path / "weights.safetensors")
    theirs = plain_peft_adapter(tmp_path / "a", network, target_modules=["features.3.expand1x1"])
    ours = loaded(zoo(tmp_path), replace(made, adaptation=PeftSpec(method="peft", path=str(tmp_path / "a"))))
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours(x), theirs((x - 0.5) / 0.5))


VIT = "timm/vit_tiny_patch16_224"


def test_a_file_under_a_name_of_timms_takes_its_settings_by_that_name() -> None:
    spec = BackboneSpec(architecture=f"{VIT}.augreg_in21k_ft_in1k", weights="vit.safetensors")
    half = (0.5, 0.5, 0.5)
    assert preprocessing_of(spec) == Preprocessing(half, half, "architecture", 224, 248, "bicubic")
    plain = spec.model_copy(update={"architecture": VIT})
    assert preprocessing_of(plain) == Preprocessing(
        half, half, "architecture", 224
    )  # it takes images of no other size
    assert preprocessing_of(BackboneSpec(architecture="timm/resnet18", weights="r.pt")).size is None
    own = spec.model_copy(update={"mean": (0.1, 0.2, 0.3)})
    assert (preprocessing_of(own).mean, preprocessing_of(own).std) == ((0.1, 0.2, 0.3), half)
    assert preprocessing_of(own).origin == "architecture"
    assert preprocessing_of(own.model_copy(update={"std": half})).origin == "suite"


def test_what_nobody_said_is_assumed_and_what_is_trained_here_is_not() -> None:
    assumed = preprocessing_of(BackboneSpec(weights="resnet.safetensors"))
    assert assumed == Preprocessing(IMAGENET_MEAN, IMAGENET_STD, "assumed")
    assert preprocessing_of(BackboneSpec(weights="r.safetensors", mean=(0.5,) * 3)).origin == "assumed"
    for random in (BackboneSpec(), BackboneSpec(architecture=VIT)):
        assert preprocessing_of(random) == Preprocessing(IMAGENET_MEAN, IMAGENET_STD, "training")


def test_a_timm_tag_without_weights_is_refused_where_the_start_would_be_random() -> None:
    tagged = BackboneSpec(architecture="timm/resnet18.a1_in1k")
    with pytest.raises(
        ModelError, match=r"a1_in1k names weights, .* add 'weights: pretrained', or take 'timm/resnet18'"
    ):
        Backbone(tagged, None, 0)
    Backbone(tagged, Pretraining(TrainingSpec(), images()), 0)
    for weights in ("pretrained", "file.pt"):
        Backbone(tagged.model_copy(update={"weights": weights}), None, 0)
    Backbone(BackboneSpec(architecture="timm/resnet18"), None, 0)


@pytest.mark.parametrize("weights", ["pretrained", "file.pt"])
def test_a_misspelt_timm_tag_is_named_with_the_known_ones(weights: str) -> None:
    spec = BackboneSpec(architecture="timm/resnet18.a1_in1kk", weights=weights)
    for do in (preprocessing_of, lambda spec: build_backbone(spec, 3, 0)):
        with pytest.raises(
            ModelError, match=r"timm has no weights 'a1_in1kk' of resnet18; known: a1_in1k, a2_in1k, "
        ):
            do(spec)


def test_a_failed_download_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.models._api.WeightsEnum.get_state_dict", offline)
    with pytest.raises(
        ModelError, match=r"IMAGENET1K_V1 of resnet18 are not on this machine .*backbone.pretrain"
    ):
        loaded(zoo(tmp_path), recipe("IMAGENET1K_V1", HeadSpec(method="head")))


class Malicious:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("ran"),))


def test_unusable_weights_are_refused_with_the_reason(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def refused(file: Path, spec: Adaptation | None = None) -> str:
        with pytest.raises(ModelError) as caught:
            loaded(zoo(tmp_path), recipe(file, spec or HeadSpec(method="head")))
        return str(caught.value)

    assert "no such file" in refused(tmp_path / "none.safetensors")
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(weights.read_bytes()[:5000])
    assert "not a whole safetensors file" in refused(torn)
    evil = tmp_path / "evil.pt"
    torch.save({"x": Malicious()}, evil)
    assert "refused, since loading it could run code" in refused(evil)
    older = tmp_path / "evil.pth"
    older.write_bytes(pickle.dumps(Malicious()))
    assert "refused" in refused(older)
    assert not (tmp_path / "ran").exists()
    odd = tmp_path / "odd.safetensors"
    state = load_file(weights)
    state["head.extra"] = state.pop("conv1.weight")
    state["bn1.bias"] = torch.zeros(3)
    save_file(state, odd)
    message = refused(odd)
    for part in ("missing: conv1.weight", "unknown: head.extra", "bn1.bias is 3, not 64"):
        assert part in message


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_every_damage_to_a_pt_file_is_an_error_that_names_it(zipped: bool, tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    torch.save(nn.Linear(3, 2).state_dict(), file, _use_new_zipfile_serialization=zipped)
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    read_saved(file)
    refusals = []
    for _ in range(300):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[rng.integers(0, 500, rng.integers(1, 9))] = rng.integers(0, 256)
        file.write_bytes(damaged[: rng.integers(len(whole)) if rng.random() < 0.2 else None].tobytes())
        try:
            read_saved(file)
        except ModelError as error:
            refusals.append(str(error))
    assert len(refusals) > 150
    assert all(
        message.startswith(f"{file}: ") and message.endswith(("again", "elsewhere", "pointer"))
        for message in refusals
    )


@pytest.mark.parametrize(
    "text", ["<!DOCTYPE html>", "version https://git-lfs.github.com/spec/v1", '{"error": 404}', "Not found"]
)
def test_what_is_no_weights_file_is_not_called_dangerous(text: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.write_text(text)
    with pytest.raises(
        ModelError, match=r"weights.pt: not a weights file: it starts with .*an error page or a Git-LFS"
    ):
        read_saved(file)


def test_an_empty_pt_file_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").touch()
    with pytest.raises(ModelError, match=r"not a whole weights file \(EOFError\); copy or download it again"):
        read_saved(tmp_path / "weights.pt")


def test_a_pt_file_of_plain_tensors_is_read(weights: Path, tmp_path: Path) -> None:
    torch.save(load_file(weights), tmp_path / "plain.pt")
    models = zoo(tmp_path)
    a, b = (
        loaded(models, recipe(file, NoneSpec(method="none"))) for file in (weights, tmp_path / "plain.pt")
    )
    assert torch.equal(a(X), b(X))
    with torch.no_grad():
        assert torch.equal(a(X), backbone()((X - 0.5) / 0.5))


def test_layers_that_insist_on_the_version_of_their_weights_take_them_from_a_file(tmp_path: Path) -> None:
    made, empty = (
        build_backbone(BackboneSpec(architecture="mnasnet0_5"), num_classes=3, seed=seed) for seed in (0, 1)
    )
    save_file(made.state_dict(), tmp_path / "weights.safetensors")
    load_strictly(empty, read_saved(tmp_path / "weights.safetensors"), "the file")
    torch.testing.assert_close(made.eval()(X), empty.eval()(X), rtol=0, atol=0)
