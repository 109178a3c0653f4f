"""Models in the format of transformers: their own logits, the images and classes that they bring, and
adapters on them."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import bench
from adapters.backbones import model_folder
from adapters.backbones.image_processor import expected_by
from adapters.backbones.networks import build_backbone, preprocessing_of
from adapters.backbones.sources import source_of
from adapters.classifier import Classifier
from adapters.errors import ModelError
from adapters.methods.earlier_names import names_in_files
from adapters.methods.peft_methods import resolve_targets
from adapters.scaling import scaled
from adapters.spec import BackboneSpec
from bench.errors import UserError
from tests.builders.plain import ATTACKS, batch, by_bench, by_hand, pictures, save_pictures
from tests.builders.small_transformers import (
    KINDS,
    LABELS,
    NAMES,
    SIZE,
    Answers,
    normalised,
    save_model,
    today,
)

SUITE = """name: s
backbone: {{architecture: transformers/{model}, {more}}}
data: {{source: imagefolder, path: photos, classes: [{classes}]}}
models: [{{name: m, adaptation: {{{adaptation}}}}}]
training: {{epochs: 1, batch_size: 8, augmentation: none}}
"""
NONE = "method: none"
ORDER = list(NAMES)


def backbone(folder: Path) -> BackboneSpec:
    return BackboneSpec(architecture=f"transformers/{folder}")


def run(
    folder: Path,
    adaptation: str = NONE,
    *,
    only: str = "*/foolbox",
    classes: list[str] = ORDER,
    more: str = "",
) -> Any:
    """The run of a suite in ``folder`` on the model beside it and 24 photos."""
    save_pictures(folder / "photos", pictures(24, SIZE), [NAMES[label] for label in LABELS])
    said = SUITE.format(model="model", adaptation=adaptation, classes=", ".join(classes), more=more)
    (folder / "suite.yaml").write_text(said + ATTACKS)
    return bench.run(folder / "suite.yaml", results=folder / "results", only=only)


def shown(result: bench.Result) -> str:
    return " ".join(str(result).split())


@pytest.mark.parametrize("kind", KINDS)
def test_logits_of_pictures_are_those_of_transformers_with_its_own_image_processor(
    kind: str, tmp_path: Path
) -> None:
    from transformers import AutoImageProcessor

    model, images = save_model(tmp_path / "model", kind), pictures(6, SIZE)
    processor = AutoImageProcessor.from_pretrained(str(tmp_path / "model"))
    inputs = processor([Image.fromarray(image) for image in images], return_tensors="pt")
    spec = backbone(tmp_path / "model")
    expects = preprocessing_of(spec)
    ours = Classifier(build_backbone(spec, 2, 0), mean=expects.mean, std=expects.std, num_classes=3).eval()
    with torch.no_grad():
        torch.testing.assert_close(ours(batch(images)), model(**inputs).logits, atol=1e-4, rtol=1e-4)
    assert (expects.origin, expects.size) == ("weights", SIZE)
    assert source_of(spec).classes(spec) == NAMES


@pytest.mark.parametrize(
    ("kind", "library"), [("ViT", "foolbox"), ("ViT", "art"), ("Swin", "foolbox"), ("ResNet", "foolbox")]
)
def test_a_folder_is_attacked_as_a_plain_loop_attacks_it(kind: str, library: str, tmp_path: Path) -> None:
    model = save_model(tmp_path / "model", kind)
    result = run(tmp_path, only=f"*/{library}")
    plain = by_hand(lambda x: Answers(model)(normalised(x)), pictures(24, SIZE), LABELS)
    assert by_bench(result, "m", library) == plain
    assert plain["clean"] != plain["pgd"]
    assert "mean 0.5, std 0.25 (the weights' own)" in shown(result)


def test_the_classes_names_say_which_output_each_is(tmp_path: Path) -> None:
    model = save_model(
        tmp_path / "model", names=("cow", "Cat", "dog, domestic dog"), labels=[(i + 1) % 3 for i in range(24)]
    )
    result = run(tmp_path)
    plain = by_hand(lambda x: Answers(model)(normalised(x))[:, [1, 2, 0]], pictures(24, SIZE), LABELS)
    assert by_bench(result, "m", "foolbox") == plain
    assert (
        "3 of the network's 3 outputs are the data's classes (1, 2, 0), by the names that the weights give"
        " them" in shown(result)
    )


def test_names_of_other_classes_are_refused_until_the_suite_says_which_is_which(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model", names=("Katze", "Hund", "Kuh"))
    with pytest.raises(
        UserError,
        match=r"suite.yaml:2: the weights name their classes differently .* none of 'Katze', 'Hund'",
    ):
        run(tmp_path)
    result = run(tmp_path, more="classes: [0, Hund, 2]")
    assert by_bench(result, "m", "foolbox") == by_hand(
        lambda x: Answers(model)(normalised(x)), pictures(24, SIZE), LABELS
    )
    shutil.rmtree(tmp_path / "model")
    save_model(tmp_path / "model", names=("LABEL_0", "LABEL_1", "LABEL_2"))
    assert by_bench(run(tmp_path), "m", "foolbox") == by_bench(
        result, "m", "foolbox"
    )  # names that nobody gave


def plain_adapter(model: Any, folder: Path, targets: list[str]) -> nn.Module:
    """An adapter on ``model`` with its classifier, as if trained by plain peft, saved in ``folder``.

    The ``targets`` are named as in files.
    """
    import peft

    targets = [today()[name] for name in targets]
    config = peft.LoraConfig(r=2, target_modules=targets, modules_to_save=["classifier"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        adapted = peft.get_peft_model(model, config)
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.data += 0.1 * torch.randn_like(parameter)
    adapted.save_pretrained(str(folder))
    return Answers(adapted.eval())


def in_earlier_names(folder: Path, model: Any) -> None:
    """The adapter in ``folder`` as an earlier transformers would have had it saved."""
    names = names_in_files(model)
    tensors = {}
    for key, tensor in load_file(folder / "adapter_model.safetensors").items():
        layer = key.removeprefix("base_model.model.").partition(".lora")[0]
        tensors[key.replace(layer, names.get(layer, layer))] = tensor
    save_file(tensors, folder / "adapter_model.safetensors")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "target_modules": ["query", "value"]}))


@pytest.mark.parametrize("kind", ["ViT", "Swin"])
@pytest.mark.parametrize("names", ["today's", "earlier"])
def test_an_adapter_of_plain_peft_scores_as_it_does_in_plain_peft(
    kind: str, names: str, tmp_path: Path
) -> None:
    model = save_model(tmp_path / "model", kind)
    theirs = plain_adapter(model, tmp_path / "adapter", ["query", "value"])
    if names == "earlier":
        in_earlier_names(tmp_path / "adapter", load_again(tmp_path / "model", kind))
        saved = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
        assert sum(".query.lora_A" in name for name in saved) == 2
    result = run(tmp_path, "method: peft, path: adapter")
    plain = by_hand(lambda x: theirs(normalised(x)), pictures(24, SIZE), LABELS)
    assert by_bench(result, "m", "foolbox") == plain
    assert plain["clean"] != LABELS


def test_an_adapter_on_a_model_of_another_size_is_given_images_scaled_inside(tmp_path: Path) -> None:
    theirs = plain_adapter(save_model(tmp_path / "model"), tmp_path / "adapter", ["query"])
    save_pictures(tmp_path / "photos", pictures(24, 48), [NAMES[label] for label in LABELS])
    text = SUITE.format(
        model="model", adaptation="method: peft, path: adapter", classes=", ".join(ORDER), more=""
    )
    (tmp_path / "suite.yaml").write_text(text.replace("path: photos", "path: photos, size: 48") + ATTACKS)
    result = bench.run(tmp_path / "suite.yaml", results=tmp_path / "results", only="*/foolbox")
    plain = by_hand(lambda x: theirs(normalised(scaled(x, SIZE))), pictures(24, 48), LABELS)
    assert by_bench(result, "m", "foolbox") == plain


def load_again(folder: Path, kind: str) -> Any:
    import transformers

    return getattr(transformers, f"{kind}ForImageClassification").from_pretrained(str(folder)).eval()


def test_lora_on_attention_is_trained_here_and_loads_in_plain_peft(tmp_path: Path) -> None:
    from peft import PeftModel

    save_model(tmp_path / "model")
    result = run(tmp_path, "method: lora, r: 2, targets: [query, value]", only="*/fgsm/foolbox")
    (model,) = result.run.header.models
    assert result.run.header.provenance["packages"]["transformers"] == transformers_version()
    assert (
        " ".join(str(result).split()).count("squashes images that are not square; here the central square")
        == 1
    )
    assert (
        model.trainable_parameters == 2 * 2 * 2 * (16 + 16) + 3 * 17
    )  # two layers, two matrices, and the new head
    (folder,) = Path(tmp_path_of_cache()).glob("models/*/adapter")
    again = load_again(tmp_path / "model", "ViT")
    again.classifier = nn.Linear(16, 3)
    theirs = Answers(PeftModel.from_pretrained(again, str(folder)).eval())
    rows = result.samples.sort_values("id", key=lambda ids: ids.map(lambda name: int(Path(name).stem)))
    with torch.no_grad():
        probabilities = theirs(normalised(batch(pictures(24, SIZE)))).softmax(1)
    attacked = [int(Path(name).stem) for name in rows.id]
    assert rows.clean_pred.tolist() == probabilities.argmax(1)[attacked].tolist()
    np.testing.assert_allclose(rows.clean_prob, probabilities.amax(1)[attacked], atol=1e-5)


def transformers_version() -> str:
    import transformers

    return str(transformers.__version__)


def tmp_path_of_cache() -> str:
    import os

    return os.environ["BENCH_CACHE"]


def test_targets_by_the_names_of_files_and_timm_s_fused_attention(tmp_path: Path) -> None:
    save_model(tmp_path / "model")
    network = build_backbone(backbone(tmp_path / "model"), 2, 0)
    query = "vit.encoder.layer.1.attention.attention.query"
    assert resolve_targets(network, (query,)) == [today()[query]]
    assert resolve_targets(network, r".*\.1\..*query") == [today()[query]]
    with pytest.raises(ModelError, match="target 'uery' is not a layer of this backbone; did you mean"):
        resolve_targets(network, ("uery",))
    timm = build_backbone(BackboneSpec(architecture="timm/test_vit"), 3, 0)
    assert resolve_targets(timm, r".*\.qkv")[0] == "blocks.0.attn.qkv"


@pytest.mark.parametrize("names", ["today's", "in files"])
@pytest.mark.parametrize(
    "targets", [["query", "value"], ["attention.attention.query"], ["classifier", "value"]]
)
def test_a_list_of_suffixes_is_what_peft_makes_of_it(targets: list[str], names: str, tmp_path: Path) -> None:
    """In the names of transformers today, and in those of its files, which peft itself no longer knows."""
    from peft import LoraConfig, get_peft_model

    save_model(tmp_path / "model")
    network = build_backbone(backbone(tmp_path / "model"), 2, 0)
    now = [today().get(name, name) for name in targets]
    found = resolve_targets(network, tuple(now if names == "today's" else targets))
    assert len(found) == len(set(found))
    plain = get_peft_model(network, LoraConfig(target_modules=now))
    assert set(found) == set(plain.targeted_module_names)


def test_an_exact_name_wins_over_longer_ones_that_end_in_it() -> None:
    """A suite that adapts the first convolution means that one alone, though peft would take each block's."""
    resnet = build_backbone(BackboneSpec(architecture="resnet18"), 2, 0)
    assert resolve_targets(resnet, ("fc", "conv1")) == ["fc", "conv1"]
    assert resolve_targets(resnet, ("0.conv2", "fc", "layer1.0.conv2")) == [
        *(f"layer{i}.0.conv2" for i in (1, 2, 3, 4)),
        "fc",
    ]
    assert len(resolve_targets(resnet, ("conv2",))) == 8
    with pytest.raises(
        ModelError, match="target 'onv2' is not a layer of this backbone; did you mean 'conv2'"
    ):
        resolve_targets(resnet, ("onv2",))


def test_weights_without_a_head_are_adapted_and_not_judged_as_they_are(tmp_path: Path) -> None:
    save_model(tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    save_file(
        {k: v for k, v in load_file(file).items() if not k.startswith("classifier")}, file, {"format": "pt"}
    )
    with pytest.raises(UserError, match="these weights hold no head; adapt the backbone"):
        run(tmp_path)
    assert run(tmp_path, "method: head", only="*/fgsm/foolbox").leaderboard.accuracy.notna().all()
    theirs = plain_adapter(load_again(tmp_path / "model", "ViT"), tmp_path / "adapter", ["query"])
    result = run(tmp_path, "method: peft, path: adapter")
    assert by_bench(result, "m", "foolbox") == by_hand(
        lambda x: theirs(normalised(x)), pictures(24, SIZE), LABELS
    )


def test_what_the_folder_says_is_in_the_keys(tmp_path: Path) -> None:
    """Another number of heads, or another normalisation, with the same weights is another model; a name of
    a class is none."""
    save_model(tmp_path / "model")
    found = [one_key(tmp_path)]
    for file, fields in (
        ("config.json", {"num_attention_heads": 4}),
        ("preprocessor_config.json", {"image_mean": [0.4] * 3}),
        ("config.json", {"id2label": {"0": "CAT", "1": "dog", "2": "cow"}, "transformers_version": "4.30.0"}),
    ):
        path = tmp_path / "model" / file
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
        found.append(one_key(tmp_path))
    assert len({*found[:3]}) == 3
    assert found[3] == found[2]
    (tmp_path / "model").rename(tmp_path / "elsewhere")
    (tmp_path / "model").symlink_to(tmp_path / "elsewhere")
    assert one_key(tmp_path) == found[3]


def one_key(folder: Path) -> str:
    result = run(folder, only="*/fgsm/foolbox")
    return str(result.run.header.models[0].sha256)


def test_a_run_is_reproduced_bitwise(tmp_path: Path) -> None:
    from bench.cli.commands import main

    save_model(tmp_path / "model")
    result = run(tmp_path, only="*")
    assert main(["reproduce", str(result.path)]) == 0
    assert (
        main(["run", str(tmp_path / "suite.yaml"), "--dry-run", "--results", str(tmp_path / "others")]) == 0
    )


PROCESSED: list[tuple[str, dict[str, Any], tuple[Any, ...]]] = [
    ("ViTImageProcessor", {}, (0.5, 0.5, 224, 224, "bilinear")),
    (
        "ViTImageProcessor", {"size": {"height": 48, "width": 48}, "resample": 3},
        (0.5, 0.5, 48, 48, "bicubic"),
    ),
    ("ViTImageProcessor", {"do_resize": False}, (0.5, 0.5, None, None, None)),
    ("ViTImageProcessor", {"do_normalize": False}, (0.0, 1.0, 224, 224, "bilinear")),
    ("ViTImageProcessor", {"do_rescale": False}, (0.5 / 255, 0.5 / 255, 224, 224, "bilinear")),
    ("ViTImageProcessor", {"rescale_factor": 2 / 255}, (0.25, 0.25, 224, 224, "bilinear")),
    ("DeiTImageProcessor", {}, (0.5, 0.5, 224, 256, "bicubic")),
    ("ConvNextImageProcessor", {"size": {"shortest_edge": 224}}, (0.5, 0.5, 224, 256, "bicubic")),
    ("ConvNextImageProcessor", {"size": {"shortest_edge": 384}}, (0.5, 0.5, 384, 384, "bicubic")),
    ("BitImageProcessor", {"size": {"shortest_edge": 256}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
     (0.5, 0.5, 224, 256, "bicubic")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "expected"), PROCESSED)
def test_an_image_processor_as_normalisation_and_size(
    name: str, options: dict[str, Any], expected: tuple[Any, ...], tmp_path: Path
) -> None:
    import transformers

    processor = getattr(transformers, name)(**{"image_mean": [0.5] * 3, "image_std": [0.5] * 3, **options})
    found = expected_by(processor, tmp_path)
    mean, std, *rest = expected
    assert found.mean == pytest.approx((mean,) * 3)
    assert found.std == pytest.approx((std,) * 3)
    assert [found.size, found.resize, found.interpolation] == rest
    inputs = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    whole = (inputs * 255).round()
    alone = {"do_resize": False, "do_center_crop": False, "return_tensors": "pt"}
    theirs: Tensor = processor(whole.to(torch.uint8), **alone)["pixel_values"][0]
    torch.testing.assert_close(
        (whole / 255 - found.mean[0]) / found.std[0], theirs.float(), atol=1e-5, rtol=1e-5
    )


def spoilt(folder: Path, file: str, **fields: Any) -> None:
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def an_adapter(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "adapter_config.json")


def half_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    save_file({k: v for k, v in load_file(file).items() if "layer.0" not in k}, file, {"format": "pt"})


def broken_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def not_finite(folder: Path) -> None:
    file = folder / "model.safetensors"
    save_file(
        {k: v * torch.nan if k == "classifier.bias" else v for k, v in load_file(file).items()},
        file,
        {"format": "pt"},
    )


def outside(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "../outside.safetensors"}})
    )


WRONG: list[tuple[Any, str]] = [
    (no_config, "no config.json here, so this is not a model as transformers saves it"),
    (
        no_weights,
        "no model.safetensors here; pytorch_model.bin is, but no pickle is read: save the model again",
    ),
    (an_adapter, "no model.safetensors here; an adapter of peft is named as one"),
    (half_weights, "its weights are not those of its config.json; missing: vit."),
    (broken_weights, "not a whole safetensors file"),
    (not_finite, "not finite (NaN or infinity): classifier.bias"),
    (outside, "names '../outside.safetensors', which is not a weights file here"),
    (
        lambda f: spoilt(f, "config.json", model_type="vitt"),
        "model_type 'vitt' is not an image classifier here; did you mean 'vit'?",
    ),
    (
        lambda f: spoilt(f, "config.json", model_type="bert"),
        "model_type 'bert' is not an image classifier here",
    ),
    (lambda f: spoilt(f, "config.json", hidden_size=17), "transformers cannot make this network"),
    (
        lambda f: spoilt(f, "config.json", num_hidden_layers=10**9),
        "num_hidden_layers is larger than the number of tensors",
    ),
    (
        lambda f: spoilt(f, "preprocessor_config.json", image_std=[0, 1, 1]),
        "image_std and rescale_factor must be above 0",
    ),
    (
        lambda f: spoilt(f, "preprocessor_config.json", image_mean=[0.5], image_std=[0.5]),
        "normalises 1 channels",
    ),
    (
        lambda f: spoilt(f, "preprocessor_config.json", image_processor_type="No"),
        "not an image processor of transformers",
    ),
]


@pytest.mark.parametrize(("spoil", "message"), WRONG)
def test_a_folder_that_cannot_be_meant_is_refused_at_its_line(
    spoil: Any, message: str, tmp_path: Path
) -> None:
    save_model(tmp_path / "model")
    spoil(tmp_path / "model")
    with pytest.raises(UserError) as error:
        run(tmp_path)
    assert message in str(error.value)
    assert "suite.yaml:2: " in str(error.value)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "kwargs: {image_size: 64}",
            "suite.yaml:2: kwargs: config.json and the weights beside it describe the whole network",
        ),
        (
            "weights: model/model.safetensors",
            "suite.yaml:2: weights: config.json and the weights beside it describe the whole network",
        ),
    ],
)
def test_what_the_folder_says_is_not_said_again(more: str, message: str, tmp_path: Path) -> None:
    save_model(tmp_path / "model")
    with pytest.raises(UserError, match=message):
        run(tmp_path, more=more)


def test_code_beside_a_model_is_never_run(tmp_path: Path) -> None:
    save_model(tmp_path / "model")
    (tmp_path / "model" / "own.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: pass\nclass OwnConfig: pass\n"
    )
    places = {
        "AutoConfig": "own.OwnConfig",
        "AutoModelForImageClassification": "own.Own",
        "AutoImageProcessor": "own.Own",
    }
    for file in ("config.json", "preprocessor_config.json"):
        spoilt(tmp_path / "model", file, auto_map=places)
    run(tmp_path, only="*/fgsm/foolbox")
    assert not (tmp_path / "ran").exists()


def test_a_model_on_the_hub_without_a_network_names_the_manual_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    def no_network(*_: object, **__: object) -> str:
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", no_network)
    model_folder._from_hub.cache_clear()
    save_pictures(tmp_path / "photos", pictures(3, SIZE), ORDER)
    suite = SUITE.format(
        model="google/vit-base-patch16-224", adaptation=NONE, classes="cat, dog, cow", more=""
    )
    (tmp_path / "suite.yaml").write_text(suite + ATTACKS)
    with pytest.raises(
        UserError, match=r"suite.yaml:2: .*run `hf download google/vit-base-patch16-224 --local-dir FOLDER`"
    ):
        bench.run(tmp_path / "suite.yaml", results=tmp_path / "results")
    (tmp_path / "suite.yaml").write_text(
        suite.replace("google/vit-base-patch16-224", "./models/vit") + ATTACKS
    )
    with pytest.raises(UserError, match=r"suite.yaml:2: ./models/vit: no such model folder; looked in"):
        bench.run(tmp_path / "suite.yaml", results=tmp_path / "results")


def test_a_model_on_the_hub_is_downloaded_as_safetensors_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    save_model(tmp_path / "model")
    asked: list[tuple[str, list[str]]] = []

    def download(name: str, *, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        return str(tmp_path / "model")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    model_folder._from_hub.cache_clear()
    spec = BackboneSpec(architecture="transformers/google/vit-tiny")
    assert source_of(spec).classes(spec) == NAMES
    assert build_backbone(spec, 2, 0) is not None
    wanted = ["config.json", "preprocessor_config.json", "*.safetensors", "model.safetensors.index.json"]
    assert asked == [("google/vit-tiny", wanted)]
    model_folder._from_hub.cache_clear()


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    save_model(tmp_path / "model")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        ModelError,
        match=r"transformers is not installed; pip install 'lora-robustness-bench\[transformers\]'",
    ):
        source_of(backbone(tmp_path / "model")).check(backbone(tmp_path / "model"))
