"""Backbones and adaptations: what trains, what is kept, and what is refused."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import save_file
from torch import nn

from adapters.backbones.networks import build_backbone
from adapters.cache.checks import check_model
from adapters.cache.recipe import Backbone, Recipe
from adapters.cache.zoo import Zoo
from adapters.classifier import Classifier
from adapters.errors import ModelError
from adapters.fast.lossless import TOLERANCE, lossless, max_difference
from adapters.images import ImageSet
from adapters.methods.adaptation import adapt, check_trainable, count_parameters, merged
from adapters.methods.atoms import AtomConv2d, join_atoms, split_into_atoms
from adapters.methods.registry import Declared
from adapters.spec import (
    Adaptation,
    BackboneSpec,
    EarlyStopping,
    FullSpec,
    HeadSpec,
    NoneSpec,
    PeftSpec,
    TrainingSpec,
)
from adapters.training.curves import Progress
from adapters.training.fit import fit
from tests.builders.loaded import loaded

X = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
CLASSES = ("a", "b", "c")


def images(count: int = 24) -> ImageSet:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    pixels = rng.integers(0, 100, (count, 3, 32, 32)) + 70 * labels[:, None, None, None]
    return ImageSet(pixels.astype(np.uint8), labels, tuple(map(str, range(count))), CLASSES)


def backbone(classes: int = 3) -> nn.Module:
    """A ResNet18 with weights drawn at random, in eval mode."""
    return build_backbone(BackboneSpec(), classes, 0).eval()


def adaptation(**options: object) -> Adaptation:
    return TypeAdapter(Declared).validate_python(options)


def wrap(network: nn.Module) -> Classifier:
    return Classifier(network, mean=(0.5,) * 3, std=(0.5,) * 3, num_classes=3).eval()


def disturb(network: nn.Module) -> None:
    """As if trained: move what is trainable."""
    torch.manual_seed(1)
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.data += 0.02 * torch.randn_like(parameter)


HEAD = 512 * 3 + 3
METHODS = [
    ({"method": "none"}, 0),
    ({"method": "full"}, 11_178_051),
    ({"method": "head"}, HEAD),
    ({"method": "lora", "r": 8, "targets": ["fc"]}, 8 * (512 + 3)),
    ({"method": "lora", "r": 8, "targets": ["fc", "conv1"]}, 8 * (512 + 3) + 8 * (3 * 49 + 64)),
    ({"method": "lora", "r": 2, "targets": r"layer1\.\d\.conv\d"}, 4 * 2 * (64 * 9 + 64) + HEAD),
    ({"method": "dora", "r": 4, "targets": ["conv1"]}, 4 * (3 * 49 + 64) + 64 + HEAD),
    ({"method": "loha", "r": 2, "targets": ["fc"]}, 4 * 2 * 512 // 2 + 2 * 2 * 3),
    ({"method": "lokr", "r": 8, "targets": ["conv1"]}, None),
    ({"method": "boft", "targets": ["layer1.0.conv1"]}, None),
    ({"method": "oft", "blocks": 8, "targets": ["layer2.0.downsample.0"]}, 8 * 8 * 7 // 2 + HEAD),
    ({"method": "hra", "r": 4, "targets": ["conv1"]}, 4 * 3 * 49 + HEAD),
    # 19 of ResNet18's 20 convolutions but the three 1 x 1 are spatial: 16 of 3 x 3 and the 7 x 7 stem
    ({"method": "atoms"}, 16 * 81 + 49 * 49 + HEAD),
]


@pytest.mark.parametrize(
    ("options", "count"), METHODS, ids=lambda o: str(o.get("method")) if isinstance(o, dict) else ""
)
def test_exactly_the_meant_parameters_train_and_merging_changes_nothing(
    options: dict[str, object], count: int | None
) -> None:
    network = backbone()
    with torch.no_grad():
        before = network(X)
    spec = adaptation(**options)
    adapted = adapt(network, spec, 0)
    check_trainable(adapted, spec)
    if count is not None:
        assert count_parameters(adapted, trainable=True) == count
    with torch.no_grad():
        torch.testing.assert_close(adapted.eval()(X), before, rtol=1e-4, atol=1e-4)
    disturb(adapted)
    classifier = wrap(adapted)
    check_model(classifier, X)
    assert max_difference(classifier, lossless(classifier, X), X) < TOLERANCE


def test_oft_merges_wrongly_on_spatial_convolutions_in_peft_and_is_refused() -> None:
    from peft import OFTConfig, get_peft_model

    theirs = get_peft_model(backbone(), OFTConfig(r=8, oft_block_size=0, target_modules=["layer1.0.conv1"]))
    disturb(theirs)
    with pytest.raises(ModelError, match="does not merge correctly"):
        check_model(wrap(theirs), X)
    with pytest.raises(
        ModelError, match=r"oft merges wrongly on spatial convolutions: layer1\.0\.conv1; choose others"
    ):
        adapt(backbone(), adaptation(method="oft", targets=["layer1.0.conv1", "layer2.0.downsample.0"]), 0)
    with pytest.raises(
        ModelError, match=r"oft: 7 blocks do not divide the inputs of layer2\.0\.downsample\.0"
    ):
        adapt(backbone(), adaptation(method="oft", blocks=7, targets=["layer2.0.downsample.0"]), 0)


def test_a_model_that_cannot_be_attacked_fails_at_the_end_of_its_training(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ModelError("the adapter does not merge correctly")

    made = recipe(weights, HeadSpec(method="head"))
    monkeypatch.setattr("adapters.cache.checks.check_model", refuse)
    with pytest.raises(ModelError, match="does not merge correctly"):
        zoo(tmp_path).ensure(made)
    assert zoo(tmp_path).card(made) is None


def test_targets_match_whole_names_only() -> None:
    adapted = adapt(backbone(), adaptation(method="lora", targets=["conv1"]), 0)
    touched = {name.split(".lora_")[0] for name, p in adapted.named_parameters() if "lora_" in name}
    assert touched == {"base_model.model.conv1"}
    with pytest.raises(ModelError, match="target 'conv9' is not a layer of this backbone; did you mean"):
        adapt(backbone(), adaptation(method="lora", targets=["conv9"]), 0)
    with pytest.raises(ModelError, match=r"targets 'conv\[' is not a regular expression"):
        adapt(backbone(), adaptation(method="lora", targets="conv["), 0)
    with pytest.raises(ModelError, match=r"targets 'conv' matches no whole layer name"):
        adapt(backbone(), adaptation(method="lora", targets="conv"), 0)
    with pytest.raises(ModelError, match="cannot learn the new head 'fc'"):
        adapt(backbone(), adaptation(method="dora", targets=["fc"]), 0)


class Unsteady(nn.Module):
    """Says something else of the same image in another batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - x.mean(0)).flatten(1)[:, :3]


def test_silent_mistakes_are_caught() -> None:
    classifier = wrap(backbone())
    check_model(classifier, X)
    classifier.network.layer1.train()  # type: ignore[union-attr]
    with pytest.raises(ModelError, match=r"network.layer1 is in training mode"):
        check_model(classifier, X)
    with pytest.raises(ModelError, match="depends on the batch size"):
        check_model(wrap(Unsteady()), X)
    inactive = adapt(backbone(), adaptation(method="lora", targets=["fc"]), 0)  # untrained: B is zero
    with pytest.raises(ModelError, match="the adapter has no effect on fc"):
        check_model(wrap(inactive), X)
    broken = backbone()
    broken.fc.weight.data[0, 0] = torch.nan  # type: ignore[union-attr, operator]
    with pytest.raises(ModelError, match="not finite"):
        check_model(wrap(broken), X)
    wrong = adapt(backbone(), HeadSpec(method="head"), 0)
    wrong.conv1.requires_grad_(True)
    with pytest.raises(
        ModelError, match=r"the wrong parameters would be trained, 1 in all, for example 'conv1.weight'"
    ):
        check_trainable(wrong, HeadSpec(method="head"))


class Odd(nn.Module):
    """Its convolution is called through what tracing raises ``error`` at."""

    def __init__(self, error: type[Exception]) -> None:
        super().__init__()
        self.conv, self.bn, self.fc, self.error = (
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4),
            nn.Linear(4, 3),
            error,
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not isinstance(x, torch.Tensor):
            raise self.error("no tensor")
        logits: torch.Tensor = self.fc(self.bn(self.conv(x)).mean((2, 3)))
        return logits


@pytest.mark.parametrize("error", [TypeError, RuntimeError, AttributeError])
def test_what_cannot_be_traced_is_attacked_merged_and_folded(
    error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    adapted = adapt(Odd(error), adaptation(method="lora", targets=["conv"]), 0)
    disturb(adapted)
    classifier = wrap(adapted)
    fast = lossless(classifier, X)
    assert [type(module) for module in fast.network.children()] == [nn.Conv2d, nn.Identity, nn.Linear]
    assert max_difference(classifier, fast, X) < TOLERANCE
    assert not caplog.text


def test_of_a_network_without_batchnorm_that_cannot_be_traced_nothing_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    network = Odd(TypeError)
    network.bn = nn.Identity()  # type: ignore[assignment]
    classifier = wrap(network)
    assert max_difference(classifier, lossless(classifier, X), X) < TOLERANCE
    assert not caplog.text


def test_an_adapter_that_is_inert_beside_a_trained_head_is_named() -> None:
    adapted = adapt(backbone(), adaptation(method="lora", r=2, targets=["layer1.0.conv1", "conv1"]), 0)
    disturb(adapted)
    for name, parameter in adapted.named_parameters():
        if "layer1.0.conv1.lora_B" in name:
            parameter.data.zero_()
    with pytest.raises(
        ModelError, match=r"the adapter has no effect on layer1\.0\.conv1: switching it off changes nothing"
    ):
        check_model(wrap(adapted), X)


def test_a_layer_that_the_network_never_calls_is_refused_before_training(tmp_path: Path) -> None:
    """torch's MultiheadAttention multiplies by out_proj.weight itself, so that a LoRA on out_proj neither
    acts nor learns."""
    targets = r"encoder\.layers\.encoder_layer_0\.(self_attention\.out_proj|mlp\.0)"
    base = Backbone(BackboneSpec(architecture="vit_b_32"), None, 0)
    picture = ImageSet(np.zeros((4, 3, 224, 224), np.uint8), np.array([0, 1, 2, 0]), tuple("0123"), CLASSES)
    made = Recipe(
        "m", base, adaptation(method="lora", r=1, targets=targets), TrainingSpec(epochs=1), picture, 0
    )
    models = Zoo(tmp_path / "cache", lambda _: pytest.fail("trained"))
    for do in (models.check, models.ensure):
        with pytest.raises(
            ModelError,
            match=r"on encoder\.layers\.encoder_layer_0\.self_attention\.out_proj would do nothing",
        ):
            do(made)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The weights of a ResNet18 with three classes."""
    file = tmp_path / "backbone.safetensors"
    save_file(backbone().state_dict(), file)
    return file


def recipe(weights: Path | str, spec: Adaptation, shown: ImageSet | None = None, epochs: int = 1) -> Recipe:
    base = Backbone(BackboneSpec(weights=str(weights), mean=(0.5,) * 3, std=(0.5,) * 3), None, 0)
    return Recipe("m", base, spec, TrainingSpec(epochs=epochs, batch_size=8), shown or images(), 0)


def zoo(tmp_path: Path) -> Zoo:
    return Zoo(tmp_path / "cache", lambda _: lambda *_: None)


@pytest.mark.parametrize("method", ["full", "head", "atoms", "lora"])
def test_a_reloaded_model_is_the_trained_one(method: str, weights: Path, tmp_path: Path) -> None:
    targets = {"targets": ["fc", "conv1"]} if method == "lora" else {}
    made = recipe(weights, adaptation(method=method, **targets))
    models = zoo(tmp_path)
    first = loaded(models, made)
    again = loaded(zoo(tmp_path), made)
    assert torch.equal(first(X), again(X))
    assert models.card(made) == zoo(tmp_path).ensure(made)
    assert not list((tmp_path / "cache" / "unfinished").glob("*"))


def test_a_killed_training_goes_on_from_its_last_epoch(weights: Path, tmp_path: Path) -> None:
    made = recipe(weights, HeadSpec(method="head"), epochs=3)
    seen: list[int] = []

    def watch(limit: int) -> Progress:
        def epoch(done: int, *_: object) -> None:
            seen.append(done)
            if done == limit:
                raise KeyboardInterrupt

        return epoch

    with pytest.raises(KeyboardInterrupt):
        Zoo(tmp_path / "cache", lambda _: watch(2)).ensure(made)
    resumed = Zoo(tmp_path / "cache", lambda _: watch(9)).ensure(made)
    assert seen == [1, 2, 3]
    assert resumed == Zoo(tmp_path / "other", lambda _: watch(9)).ensure(made)


def plain_peft_adapter(folder: Path, network: nn.Module, **options: object) -> nn.Module:
    """An adapter made with peft alone."""
    from peft import LoraConfig, get_peft_model

    adapted: nn.Module = get_peft_model(network, LoraConfig(r=4, **options))
    disturb(adapted)
    adapted.save_pretrained(str(folder))  # type: ignore[operator]
    return adapted.eval()


def test_the_architecture_is_part_of_what_names_a_model(weights: Path, tmp_path: Path) -> None:
    """timm's ResNet18 has the same names and shapes as torchvision's."""
    made = recipe(weights, NoneSpec(method="none"))
    spec = made.backbone.spec.model_copy(update={"architecture": "timm/resnet18"})
    other = replace(made, backbone=replace(made.backbone, spec=spec))
    models = zoo(tmp_path)
    assert models.ensure(made).sha256 != models.ensure(other).sha256
    assert torch.isfinite(loaded(models, other)(X)).all()


def test_moving_files_changes_no_key(weights: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "renamed.safetensors"
    moved.parent.mkdir()
    moved.write_bytes(weights.read_bytes())
    spec = HeadSpec(method="head")
    assert recipe(weights, spec).key == recipe(moved, spec).key
    moved.write_bytes(weights.read_bytes()[:-1] + b"!")
    assert recipe(weights, spec).key != recipe(moved, spec).key
    plain_peft_adapter(tmp_path / "a", backbone(), target_modules=["fc"])
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    keys = {recipe(weights, PeftSpec(method="peft", path=str(tmp_path / name))).key for name in ("a", "b")}
    assert len(keys) == 1


def test_the_wrong_number_of_classes_is_an_error(weights: Path, tmp_path: Path) -> None:
    two = ImageSet(images().images, images().labels % 2, images().ids, ("a", "b"))
    with pytest.raises(ModelError, match="the backbone has 3 classes, the data have 2"):
        loaded(zoo(tmp_path), recipe(weights, NoneSpec(method="none"), two))


def test_the_wrong_input_size_is_an_error(tmp_path: Path) -> None:
    base = Backbone(BackboneSpec(architecture="alexnet"), None, 0)
    made = Recipe("m", base, FullSpec(), TrainingSpec(epochs=1), images(), 0)
    with pytest.raises(
        ModelError, match=r"the backbone cannot take images of 3 x 32 x 32 .*; set data.size, or .*input_size"
    ):
        zoo(tmp_path).ensure(made)


@pytest.mark.parametrize(("count", "share"), [(1, None), (2, 0.5)], ids=["one image", "one is left"])
def test_too_few_images_to_train_on_are_named(count: int, share: float | None) -> None:
    stopping = EarlyStopping(validation=share) if share else None
    few = images().take(np.zeros(count, dtype=np.int64))
    with pytest.raises(ModelError, match=rf"{count} training images are too few: a batch needs two"):
        fit(
            wrap(backbone()),
            few,
            TrainingSpec(epochs=1, early_stopping=stopping),
            seed=0,
            progress=lambda *_: None,
        )


def test_atoms_multiply_out_to_the_tuned_filters() -> None:
    adapted = adapt(backbone(), adaptation(method="atoms"), 0)
    disturb(adapted)
    layer = adapted.conv1
    assert isinstance(layer, AtomConv2d)
    by_hand = torch.einsum("fa,axy->fxy", layer.coefficients, layer.atoms.view(-1, 7, 7)).view(64, 3, 7, 7)
    torch.testing.assert_close(merged(adapted).conv1.weight, by_hand)  # type: ignore[union-attr]


def test_atoms_of_a_layer_that_stands_in_two_places_are_tuned_once() -> None:
    layer = nn.Conv2d(3, 3, 3, padding=1)
    network = nn.Sequential(layer, nn.ReLU(), layer)
    with torch.no_grad():
        before = network(X)
    split_into_atoms(network)
    assert network[0] is network[2]
    with torch.no_grad():
        torch.testing.assert_close(network(X), before, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(join_atoms(network)(X), before, rtol=1e-4, atol=1e-5)
    assert network[0] is network[2] is layer
