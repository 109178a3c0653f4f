"""Adapter folders: what peft reads of ours and we of peft's, and on which base each may be put."""

import shutil
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from packaging.version import Version
from safetensors.torch import load_file, save_file
from torch import nn

from adapters.backbones.networks import build_backbone, replace_head
from adapters.cache.recipe import Recipe
from adapters.errors import ModelError
from adapters.fast.lossless import lossless
from adapters.methods.peft_folder import load_adapter
from adapters.spec import BackboneSpec, LoraSpec, PeftSpec
from tests.adapters.test_models import HEAD, X, backbone, disturb, plain_peft_adapter, recipe, zoo
from tests.builders.loaded import loaded
from tests.builders.small_peft import Small, save_with_peft

LOSES_BIASES = Version(version("peft")) < Version("0.21")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The weights of a ResNet18 with three classes."""
    file = tmp_path / "backbone.safetensors"
    save_file(backbone().state_dict(), file)
    return file


def test_plain_peft_reads_ours(weights: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    made = recipe(weights, LoraSpec(method="lora", targets=("fc", "conv1")))
    ours = loaded(zoo(tmp_path), made)
    network = replace_head(backbone(), 3)
    theirs = PeftModel.from_pretrained(
        network, str(tmp_path / "cache" / "models" / made.key / "adapter")
    ).eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs((X - 0.5) / 0.5), ours(X), rtol=0, atol=0)


def test_we_read_an_adapter_of_plain_peft(weights: Path, tmp_path: Path) -> None:
    theirs = plain_peft_adapter(
        tmp_path / "a", backbone(), target_modules=["layer1.0.conv1"], modules_to_save=["fc"]
    )
    made = recipe(weights, PeftSpec(method="peft", path=str(tmp_path / "a")))
    models = zoo(tmp_path)
    ours = loaded(models, made)
    with torch.no_grad():
        torch.testing.assert_close(ours(X), theirs((X - 0.5) / 0.5), rtol=0, atol=0)
    assert models.ensure(made).trainable_parameters == 4 * (64 * 9 + 64) + HEAD


@pytest.mark.parametrize(
    ("bias", "count"),
    [
        pytest.param(
            "lora_only", 3, marks=pytest.mark.skipif(LOSES_BIASES, reason="this peft does not save them")
        ),
        ("all", 4800 + 3),
    ],
)
def test_biases_that_plain_peft_trained_are_loaded(
    bias: str, count: int, weights: Path, tmp_path: Path
) -> None:
    theirs = plain_peft_adapter(tmp_path / "a", backbone(), target_modules=["fc"], bias=bias)
    made = recipe(weights, PeftSpec(method="peft", path=str(tmp_path / "a")))
    models = zoo(tmp_path)
    for ours in (loaded(models, made), loaded(models, made)):
        with torch.no_grad():
            torch.testing.assert_close(ours(X), theirs((X - 0.5) / 0.5), rtol=0, atol=0)
    assert models.ensure(made).trainable_parameters == 4 * (512 + 3) + count


@pytest.mark.parametrize("bias", ["lora_only", "all"])
def test_biases_that_peft_trained_and_did_not_save_are_missed(bias: str, tmp_path: Path) -> None:
    """As peft before 0.21 leaves the folder, whichever reads it."""
    save_with_peft(tmp_path, "LORA", disturb, bias=bias)
    file = tmp_path / "adapter_model.safetensors"
    save_file({k: v for k, v in load_file(file).items() if not k.endswith(".bias")}, file)
    with pytest.raises(
        ModelError,
        match=r"'base_model.model.a.base_layer.bias' was trained .* adapter_model.safetensors does not hold"
        r" it; peft before 0\.21 loses such biases: save the adapter again",
    ):
        load_adapter(Small(), str(tmp_path))


@pytest.mark.skipif(not LOSES_BIASES, reason="this peft loads what it trains")
def test_biases_that_this_peft_would_not_load_are_missed(tmp_path: Path) -> None:
    save_with_peft(tmp_path, "LORA", disturb, bias="lora_only")
    file = tmp_path / "adapter_model.safetensors"
    trained = {f"base_model.model.{layer}.base_layer.bias": torch.ones(8) for layer in "ab"}
    save_file(load_file(file) | trained, file)
    with pytest.raises(
        ModelError, match=r"'base_model.model.a.base_layer.bias' .* this peft does not load it;"
    ):
        load_adapter(Small(), str(tmp_path))


def test_an_adapter_that_peft_cannot_merge_is_attacked_unmerged(
    weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = plain_peft_adapter(tmp_path / "a", backbone(), target_modules=["conv1"], lora_bias=True)
    ours = loaded(zoo(tmp_path), recipe(weights, PeftSpec(method="peft", path=str(tmp_path / "a"))))
    with torch.no_grad():
        expected = theirs((X - 0.5) / 0.5)
        torch.testing.assert_close(ours(X), expected, rtol=0, atol=0)
        torch.testing.assert_close(lossless(ours, X)(X), expected, rtol=0, atol=1e-5)
    assert (
        "the adapter stays unmerged: it cannot be merged (Impossible to merge LoRA with `lora_bias=True`"
        in caplog.text
    )


def test_a_loaded_adapter_may_be_idle_on_a_layer_but_not_on_all(weights: Path, tmp_path: Path) -> None:
    theirs = plain_peft_adapter(
        tmp_path / "a", backbone(), target_modules=["layer1.0.conv1", "layer2.0.conv1"]
    )

    def silence(layer: str, folder: str) -> PeftSpec:
        for name, parameter in theirs.named_parameters():
            if f"{layer}.lora_B" in name:
                parameter.data.zero_()
        theirs.save_pretrained(str(tmp_path / folder))  # type: ignore[operator]
        return PeftSpec(method="peft", path=str(tmp_path / folder))

    ours = loaded(zoo(tmp_path), recipe(weights, silence("layer1.0.conv1", "one")))
    with torch.no_grad():
        torch.testing.assert_close(ours(X), theirs((X - 0.5) / 0.5), rtol=0, atol=0)
    with pytest.raises(ModelError, match="the adapter has no effect: switching it off changes no logit"):
        loaded(zoo(tmp_path), recipe(weights, silence("layer2.0.conv1", "both")))


def test_an_adapter_for_another_backbone_is_refused(weights: Path, tmp_path: Path) -> None:
    wide = build_backbone(BackboneSpec(architecture="resnet34"), 3, 0)
    plain_peft_adapter(tmp_path / "deep", wide, target_modules=["layer1.2.conv1", "layer1.0.conv1"])
    with pytest.raises(
        ModelError, match=r"another backbone or configuration: 'base_model.model.layer1.2.conv1.*has no place"
    ):
        loaded(zoo(tmp_path), recipe(weights, PeftSpec(method="peft", path=str(tmp_path / "deep"))))
    plain_peft_adapter(tmp_path / "vit", nn.ModuleDict({"query": nn.Linear(4, 4)}), target_modules=["query"])
    with pytest.raises(ModelError, match=r"does not fit the backbone: .*not found"):
        loaded(zoo(tmp_path), recipe(weights, PeftSpec(method="peft", path=str(tmp_path / "vit"))))
    plain_peft_adapter(
        tmp_path / "big", build_backbone(BackboneSpec(architecture="resnet50"), 3, 0), target_modules=["fc"]
    )
    with pytest.raises(ModelError, match=r"does not fit the backbone: .*size mismatch"):
        loaded(zoo(tmp_path), recipe(weights, PeftSpec(method="peft", path=str(tmp_path / "big"))))
    with pytest.raises(ModelError, match=r"no adapter_config.json here"):
        loaded(zoo(tmp_path), recipe(weights, PeftSpec(method="peft", path=str(tmp_path))))
    torn = tmp_path / "big" / "adapter_model.safetensors"
    torn.write_bytes(torn.read_bytes()[:99])
    with pytest.raises(ModelError, match="not a whole safetensors file"):
        loaded(zoo(tmp_path), recipe(weights, PeftSpec(method="peft", path=str(tmp_path / "big"))))


def own_adapter(tmp_path: Path, made: Recipe) -> Path:
    """The folder of the adapter that ``made`` gives."""
    zoo(tmp_path).ensure(made)
    return tmp_path / "cache" / "models" / made.key / "adapter"


@pytest.mark.parametrize("classes", [3, 5], ids=["as many classes", "other classes"])
@pytest.mark.parametrize("targets", [("fc",), ("conv1",)], ids=["on the head", "beside the head"])
def test_our_own_adapter_folder_loads_as_one_of_peft(
    classes: int, targets: tuple[str, ...], tmp_path: Path
) -> None:
    """It was put on a new head of zeros, even where the backbone has as many classes as the data."""
    file = tmp_path / "backbone.safetensors"
    save_file(backbone(classes).state_dict(), file)
    made = recipe(file, LoraSpec(method="lora", targets=targets), epochs=2)
    folder = shutil.copytree(own_adapter(tmp_path, made), tmp_path / "moved")
    spec = PeftSpec(method="peft", path=str(folder))
    models = zoo(tmp_path)
    assert torch.equal(loaded(models, recipe(file, spec))(X), loaded(models, made)(X))
    again = PeftSpec(method="peft", path=str(own_adapter(tmp_path, recipe(file, spec))))
    assert torch.equal(loaded(models, recipe(file, again))(X), loaded(models, made)(X))


def test_our_own_adapter_on_other_weights_is_refused(weights: Path, tmp_path: Path) -> None:
    folder = own_adapter(tmp_path, recipe(weights, LoraSpec(method="lora", targets=("fc",))))
    other = tmp_path / "other.safetensors"
    save_file(build_backbone(BackboneSpec(), 3, 1).state_dict(), other)
    with pytest.raises(ModelError, match="made on weights other than this backbone's"):
        loaded(zoo(tmp_path), recipe(other, PeftSpec(method="peft", path=str(folder))))
    for text, reason in (
        ("[]", "not an object"),
        ("{}", "not a note that bench wrote .*copy the adapter's folder again"),
    ):
        (folder / "base_model.json").write_text(text)
        with pytest.raises(ModelError, match=f"base_model.json: {reason}"):
            loaded(zoo(tmp_path), recipe(weights, PeftSpec(method="peft", path=str(folder))))


@pytest.mark.parametrize("target", ["fc", "layer1.0.conv1"])
def test_an_adapter_made_on_a_new_head_that_it_does_not_hold_is_refused(target: str, tmp_path: Path) -> None:
    """The commonest way to lose a head: a new fc beside, or under, the LoRA, and no modules_to_save."""
    file = tmp_path / "published.safetensors"
    save_file(backbone(10).state_dict(), file)
    network = backbone(10)
    network.fc = nn.Linear(512, 3)
    plain_peft_adapter(tmp_path / "a", network, target_modules=[target])
    with pytest.raises(
        ModelError, match=r"has 10 classes, the data have 3, .*head 'fc' .*modules_to_save=\['fc'\]"
    ):
        loaded(zoo(tmp_path), recipe(file, PeftSpec(method="peft", path=str(tmp_path / "a"))))
    network = backbone(10)
    network.fc = nn.Linear(512, 3)
    theirs = plain_peft_adapter(
        tmp_path / "b", network, target_modules=["layer1.0.conv1"], modules_to_save=["fc"]
    )
    ours = loaded(zoo(tmp_path), recipe(file, PeftSpec(method="peft", path=str(tmp_path / "b"))))
    with torch.no_grad():
        torch.testing.assert_close(ours(X), theirs((X - 0.5) / 0.5), rtol=0, atol=0)
