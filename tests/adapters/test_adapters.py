"""The three models as uniform classifiers: what trains, what is kept, what is the same after reloading."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from adapters.backbones.networks import build_backbone, replace_head
from adapters.cache.recipe import Backbone, Pretraining, Recipe
from adapters.cache.zoo import Zoo
from adapters.classifier import predict
from adapters.errors import ModelError
from adapters.fast.lossless import lossless, max_difference
from adapters.methods.adaptation import adapt, count_parameters
from adapters.spec import BackboneSpec, FullSpec, LoraSpec, TrainingSpec
from adapters.training.curves import History, Progress
from bench import data
from bench.data import DataSpec
from tests.builders.loaded import loaded

LORA_FC = LoraSpec(method="lora", r=8, alpha=16, targets=("fc",))
LORA_FC_CONV1 = LoraSpec(method="lora", r=8, alpha=16, targets=("fc", "conv1"))
QUICK = TrainingSpec(epochs=1, batch_size=32, lr=0.01, schedule="constant", augmentation="affine")
"""Two steps: the first moves only the head, which starts at zero, and a layer below it would stay inert."""


def resnet(classes: int = 5) -> nn.Module:
    return replace_head(build_backbone(BackboneSpec(), 3, seed=0), classes).requires_grad_(False)


def recipe(adaptation: FullSpec | LoraSpec) -> Recipe:
    """A model adapted to sixes and sevens from a backbone of zeros and ones, in seconds."""
    source = data.load(DataSpec(classes=(0, 1), size=16), "all").take(np.arange(64))
    target = data.load(DataSpec(classes=(6, 7), size=16), "train").take(np.arange(64))
    return Recipe(
        "model", Backbone(BackboneSpec(), Pretraining(QUICK, source), 0), adaptation, QUICK, target, 0
    )


def silent(_: str) -> Progress:
    return lambda *_: None


@pytest.fixture
def zoo(tmp_path: Path) -> Zoo:
    return Zoo(tmp_path, silent)


@pytest.mark.parametrize(
    ("spec", "trainable"),
    [(FullSpec(), 11_179_077), (LORA_FC, 4_136), (LORA_FC_CONV1, 4_136 + 1_688)],
    ids=["full", "lora-fc", "lora-fc-conv1"],
)
def test_only_the_meant_parameters_train(spec: FullSpec | LoraSpec, trainable: int) -> None:
    assert count_parameters(adapt(resnet(), spec, seed=0), trainable=True) == trainable


def test_conv1_is_the_stem_alone() -> None:
    names = [name for name, p in adapt(resnet(), LORA_FC_CONV1, seed=0).named_parameters() if p.requires_grad]
    assert sorted({name.split(".lora_")[0] for name in names}) == [
        "base_model.model.conv1",
        "base_model.model.fc",
    ]


def test_a_target_that_is_no_layer_is_refused() -> None:
    with pytest.raises(ModelError, match="'fcc' is not a layer of this backbone; did you mean 'fc'"):
        adapt(resnet(), LoraSpec(method="lora", targets=("fcc",)), seed=0)


def test_a_wrong_target_is_found_before_anything_is_trained(zoo: Zoo, tmp_path: Path) -> None:
    zoo.check(recipe(LORA_FC_CONV1))
    with pytest.raises(ModelError, match="'fcc' is not a layer of this backbone; did you mean 'fc'"):
        zoo.check(recipe(LoraSpec(method="lora", targets=("fcc",))))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("spec", [FullSpec(), LORA_FC_CONV1], ids=["full", "lora-fc-conv1"])
def test_a_reloaded_model_gives_the_logits_of_the_trained_one(spec: FullSpec | LoraSpec, zoo: Zoo) -> None:
    from adapters.training import fit as training

    trained = {}
    real = training.fit

    def watch(classifier: nn.Module, *arguments: object, **options: object) -> History:
        history = real(classifier, *arguments, **options)  # type: ignore[arg-type]
        trained["last"] = classifier
        return history

    model = recipe(spec)
    x = torch.from_numpy(model.images.x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "fit", watch)
        zoo.ensure(model)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(zoo, model)(x), trained["last"](x), rtol=0, atol=0)


def test_batchnorm_does_not_move_while_an_adapter_is_tuned(zoo: Zoo) -> None:
    model = recipe(LORA_FC_CONV1)
    before = loaded(zoo, replace(model, adaptation=LORA_FC)).network.state_dict()
    after = loaded(zoo, model).network.state_dict()
    means = [name for name in after if name.endswith(("running_mean", "running_var"))]
    assert len(means) == 40
    for name in means:
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=0)


def test_the_same_recipe_is_trained_once_and_gives_the_same_weights(zoo: Zoo, tmp_path: Path) -> None:
    model = recipe(LORA_FC)
    card = zoo.ensure(model)
    files = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}
    assert zoo.ensure(replace(model, name="another name")) == card
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()} == files
    assert Zoo(tmp_path / "elsewhere", silent).ensure(model) == card


def test_the_recipe_key_knows_all_that_changes_the_weights() -> None:
    model = recipe(LORA_FC)
    changed = [
        replace(model, seed=1),
        replace(model, adaptation=LORA_FC_CONV1),
        replace(model, training=QUICK.model_copy(update={"lr": 0.02})),
        replace(model, images=model.images.take(np.arange(63))),
        replace(model, backbone=replace(model.backbone, seed=1)),
    ]
    assert len({r.key for r in [model, *changed]}) == len(changed) + 1


def test_an_adapter_is_kept_in_pefts_own_format(zoo: Zoo, tmp_path: Path) -> None:
    from peft import PeftModel

    model = recipe(LORA_FC_CONV1)
    ours = loaded(zoo, model)
    folder = tmp_path / "models" / model.key / "adapter"
    base = loaded(zoo, replace(model, adaptation=LORA_FC)).network.unload()  # type: ignore[operator]
    theirs = PeftModel.from_pretrained(base, str(folder)).eval()
    x = torch.from_numpy(model.images.x)
    with torch.inference_mode():
        torch.testing.assert_close(theirs((x - ours.mean) / ours.std), ours(x), rtol=0, atol=0)


@pytest.mark.parametrize("spec", [FullSpec(), LORA_FC_CONV1], ids=["full", "lora-fc-conv1"])
def test_the_lossless_form_is_the_same_function(spec: FullSpec | LoraSpec, zoo: Zoo) -> None:
    model = recipe(spec)
    plain, x = loaded(zoo, model), torch.from_numpy(model.images.x)
    fast = lossless(plain, x)
    assert not any(p.requires_grad for p in fast.parameters())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fast.modules()), "BatchNorm is folded away"
    assert not any("lora" in name for name, _ in fast.named_modules()), "the adapter is merged"
    assert 0 < max_difference(plain, fast, x) < 1e-5
    assert any(isinstance(m, nn.BatchNorm2d) for m in plain.modules()), "the plain model is left as it was"


def test_predictions_are_softmax_in_float32(linear: nn.Module) -> None:
    x, y = torch.rand(7, 3, 2, 2), torch.tensor([0, 1, 0, 1, 0, 1, 0])
    said = predict(linear, x, y)
    probs = np.exp(linear(x).double().numpy())
    probs /= probs.sum(1, keepdims=True)
    np.testing.assert_array_equal(said.pred, probs.argmax(1))
    np.testing.assert_allclose(said.prob, probs.max(1), rtol=1e-6)
    np.testing.assert_allclose(said.prob_true, probs[np.arange(7), y.numpy()], rtol=1e-6)
    assert said.prob.dtype == np.float32
