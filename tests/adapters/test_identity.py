"""What names a model covers all that changes its function: every field of every method, tried in turn.

The fields are those of peft's own configurations and of ours, whatever they are: one that comes new is tried
too.
"""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor, nn

from adapters.cache.recipe import HEAD, Backbone, Pretraining, Recipe
from adapters.cache.zoo import Zoo
from adapters.errors import ModelError
from adapters.files.names import ADAPTER, ADAPTER_FILE, CONFIG_FILE
from adapters.images import ImageSet
from adapters.methods.adaptation import save_adapted
from adapters.methods.base import base_of
from adapters.methods.peft_config import canonical_config
from adapters.methods.peft_folder import content_hash, load_adapter
from adapters.methods.registry import on_layers
from adapters.preprocessing import Preprocessing
from adapters.spec import (
    Adaptation,
    AtomsSpec,
    BackboneSpec,
    FullSpec,
    HeadSpec,
    NoneSpec,
    PeftSpec,
    TrainingSpec,
)

HALF = (0.5, 0.5, 0.5)
EXPECTS = Preprocessing(HALF, HALF, "suite")
METHODS = {
    "lora": (peft.LoraConfig, {"r": 4, "lora_alpha": 8}),
    "dora": (peft.LoraConfig, {"r": 4, "lora_alpha": 8, "use_dora": True}),
    "loha": (peft.LoHaConfig, {"r": 4, "alpha": 8}),
    "lokr": (peft.LoKrConfig, {"r": 4, "alpha": 8}),
    "oft": (peft.OFTConfig, {"r": 2, "oft_block_size": 0}),
    "boft": (peft.BOFTConfig, {"boft_block_size": 2}),
    "hra": (peft.HRAConfig, {"r": 4}),
}
EFFECTIVE = {
    "lora": {"lora_alpha", "use_rslora", "alpha_pattern", "init_lora_weights"},
    "dora": {"lora_alpha", "use_rslora", "alpha_pattern"},
    "loha": {"alpha", "alpha_pattern"},
    "lokr": {"alpha", "alpha_pattern"},
    "oft": {"coft"},
    "boft": set(),
    "hra": {"apply_GS"},
}
"""Fields that change logits under the same weights; found, or the test would try nothing."""
VALUES: tuple[Any, ...] = (
    True, 2, 0.25, "none", "all", "pissa", "conv1", "cosine", "adamw", "affine", "resnet34", ["fc1"], [0],
    {"fc1": 2}, {"fc1": 32}, {"patience": 2}, {"img_size": 32}, (0.1, 0.2, 0.3),
)  # fmt: skip
"""What fields are changed to, as far as they can take it."""


class Small(nn.Module):
    """Three layers that adapters can be put on, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.fc1, self.fc2, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images, N x 3."""
        hidden = torch.tanh(self.conv1(x)).mean((2, 3))
        logits: Tensor = self.head(torch.tanh(self.fc2(torch.tanh(self.fc1(hidden)))))
        return logits


def small() -> nn.Module:
    """The same weights every time."""
    torch.manual_seed(0)
    return Small().eval()


X = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def kept(folder: Path, method: str) -> Path:
    """An adapter that peft made and saved, every number of it moved."""
    config, options = METHODS[method]
    adapted = peft.get_peft_model(small(), config(target_modules=["fc1", "fc2"], **options))
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
    adapted.save_pretrained(str(folder))
    return folder


def answer(folder: Path) -> tuple[nn.Module, Tensor] | None:
    """The network with the adapter in ``folder``, and its logits; None where the adapter is refused."""
    torch.manual_seed(0)
    try:
        network = load_adapter(small(), str(folder)).eval()
        with torch.inference_mode():
            return network, network(X)
    except Exception:  # noqa: BLE001 (peft has as many ways to refuse a value as fields)
        return None


def of_the_card(network: nn.Module, folder: Path) -> tuple[str, str]:
    """What a card's name takes of the adapter on ``network``, once it is saved."""
    shutil.rmtree(folder, ignore_errors=True)
    save_adapted(network, base_of(small()), folder, EXPECTS)
    data = (folder / ADAPTER / CONFIG_FILE).read_bytes()
    return canonical_config(data, folder), sha256((folder / ADAPTER / ADAPTER_FILE).read_bytes()).hexdigest()


def others(value: Any) -> Iterator[Any]:
    """What a field that holds ``value`` is changed to: values of its kind, or any if its kind is unknown."""
    if isinstance(value, bool):
        yield from (not value, "pissa")
    elif isinstance(value, int | float):
        yield from (2 * value + 2, value + 0.5, 0)
    else:
        yield from (v for v in VALUES if not isinstance(value, str) or isinstance(v, str | list))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", METHODS)
def test_whatever_field_of_an_adapter_changes_its_logits_changes_its_name(
    method: str, tmp_path: Path
) -> None:
    folder = kept(tmp_path / "adapter", method)
    file = folder / CONFIG_FILE
    written = json.loads(file.read_text())
    first = answer(folder)
    assert first is not None
    names = content_hash(str(folder)), of_the_card(first[0], tmp_path / "again")
    fields = {field.name for field in dataclasses.fields(METHODS[method][0])} | written.keys()
    changing, tried = set(), 0
    for name in sorted(fields - {"peft_type", "megatron_config"}):
        for value in others(written.get(name)):
            file.write_text(json.dumps({**written, name: value}))
            found = answer(folder)
            tried += found is not None
            if found is not None and not torch.equal(found[1], first[1]):
                changing.add(name)
                assert content_hash(str(folder)) != names[0], f"{name}: {value}"
                assert of_the_card(found[0], tmp_path / "again") != names[1], f"{name}: {value}"
    assert tried > 20
    assert changing >= EFFECTIVE[method]


def test_how_a_configuration_is_written_changes_no_name(tmp_path: Path) -> None:
    folder = kept(tmp_path / "adapter", "lora")
    file, name = folder / CONFIG_FILE, content_hash(str(folder))
    written = json.loads(file.read_text())
    file.write_text(json.dumps(dict(reversed(written.items())), indent=7))
    assert content_hash(str(folder)) == name
    file.write_text(
        json.dumps({**written, "target_modules": sorted(written["target_modules"], reverse=True)})
    )
    assert content_hash(str(folder)) == name
    file.write_text(json.dumps({**written, "base_model_name_or_path": "/elsewhere"}))
    assert content_hash(str(folder)) == name


def images(size: int = 16) -> ImageSet:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (12, 3, size, size), dtype=np.uint8)
    return ImageSet(pixels, np.arange(12) % 3, tuple(f"i{i}" for i in range(12)), ("a", "b", "c"))


def variants(spec: BaseModel, *more: Any) -> Iterator[tuple[str, Any]]:
    """``spec`` with each field changed in turn, to every value that it takes; ``more`` are tried too."""
    for name in type(spec).model_fields:
        for value in (*others(getattr(spec, name)), 0.25, *more):
            try:
                changed = type(spec).model_validate({**spec.model_dump(), name: value})
            except ValidationError:
                continue
            if getattr(changed, name) != getattr(spec, name):
                yield name, changed


RECIPE = Recipe("m", Backbone(BackboneSpec(), None, 0), FullSpec(), TrainingSpec(), images(), 0)
TUNED = on_layers()
"""Every method that is trained through peft here."""


def distinct(recipes: list[Recipe]) -> None:
    """Each has a key of its own, but for equal ones."""
    assert len({recipe.key for recipe in recipes}) == len(recipes)


def adaptations() -> list[Adaptation]:
    tuned: list[Adaptation] = [
        spec.model_validate({"method": method, "targets": ["fc"]}) for method, spec in TUNED.items()
    ]
    return [FullSpec(), HeadSpec(method="head"), AtomsSpec(method="atoms"), NoneSpec(method="none"), *tuned]


@pytest.mark.parametrize("spec", adaptations(), ids=lambda spec: spec.method)
def test_every_field_of_an_adaptation_is_in_the_key(spec: Adaptation) -> None:
    first = replace(RECIPE, adaptation=spec)
    found = dict.fromkeys(name for name, _ in variants(spec))
    assert found.keys() == set(type(spec).model_fields) - {"method"}
    assert all(replace(first, adaptation=changed).key != first.key for _, changed in variants(spec))


def test_the_methods_differ_by_name() -> None:
    distinct([replace(RECIPE, adaptation=spec) for spec in adaptations()])


def test_every_field_of_a_training_is_in_the_key() -> None:
    changed = list(variants(TrainingSpec(), "probe", {"method": "pgd", "eps": "8/255"}))
    assert {name for name, _ in changed} == set(TrainingSpec.model_fields)
    for _, training in changed:
        assert replace(RECIPE, training=training).key != RECIPE.key
        pretrained = [
            replace(RECIPE.backbone, pretraining=Pretraining(t, images())) for t in (TrainingSpec(), training)
        ]
        assert pretrained[0].key != pretrained[1].key


def test_every_field_of_a_backbone_is_in_the_key(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(b"some")
    first = Backbone(BackboneSpec(weights=str(file)), None, 0)
    changed = [(name, spec) for name, spec in variants(first.spec) if name != "weights"]
    assert {name for name, _ in changed} == set(BackboneSpec.model_fields) - {"weights", *HEAD}
    assert all(replace(first, spec=spec).key != first.key for _, spec in changed)
    before = first.key
    copy = replace(first, spec=BackboneSpec(weights=str(shutil.copy(file, tmp_path / "copy.pt"))))
    assert copy.key == before, "where a file lies is no part of it"
    file.write_bytes(b"other")
    assert first.key != before


def test_which_outputs_count_is_in_the_key_of_what_keeps_its_own_head() -> None:
    specs = [
        {},
        {"classes": "by-name"},
        {"classes": (0, 2, 1)},
        {"classes": (0, 2, 1), "other_classes": "keep"},
    ]
    for adaptation, keys in ((NoneSpec(method="none"), 4), (FullSpec(), 1)):
        backbones = [replace(RECIPE.backbone, spec=BackboneSpec.model_validate(spec)) for spec in specs]
        found = {replace(RECIPE, adaptation=adaptation, backbone=backbone).key for backbone in backbones}
        assert len(found) == keys


def test_the_images_a_model_is_trained_on_are_in_its_key() -> None:
    swapped = replace(images(), labels=(np.arange(12) + 1) % 3)
    renamed = replace(images(), classes=("a", "b", "d"))
    distinct([replace(RECIPE, images=shown) for shown in (images(), images(32), swapped, renamed)])
    untrained = replace(RECIPE, adaptation=NoneSpec(method="none"))
    assert replace(untrained, images=images(32)).key == untrained.key
    assert replace(untrained, images=renamed).key != untrained.key


@pytest.mark.parametrize("changed", ["lora_alpha", "mean", "kwargs", "architecture"])
def test_cards_of_two_functions_with_equal_weights_have_two_names(changed: str, tmp_path: Path) -> None:
    """Through the cache, as a run has it."""
    from adapters.backbones.networks import build_backbone, save_backbone

    spec = BackboneSpec(architecture="timm/test_resnet", mean=HALF, std=HALF)
    save_backbone(build_backbone(spec, 3, 0), tmp_path / "w.safetensors", EXPECTS)
    spec = spec.model_copy(update={"weights": str(tmp_path / "w.safetensors")})
    updates: dict[str, dict[str, Any]] = {
        "mean": {"mean": (0.4,) * 3},
        "kwargs": {"kwargs": {"drop_rate": 0.5}},
    }
    other = spec.model_copy(update=updates.get(changed, {}))
    adaptation: Adaptation = NoneSpec(method="none")
    if changed == "architecture":
        other = other.model_copy(update={"architecture": "timm/test_resnet.r160_in1k"})
    adapted = [adaptation, adaptation]
    if changed == "lora_alpha":
        network = peft.get_peft_model(build_backbone(spec, 3, 0), peft.LoraConfig(r=2, target_modules=["fc"]))
        nn.init.normal_(network.base_model.model.fc.lora_B.default.weight)
        for alpha in (8, 2):
            network.save_pretrained(str(tmp_path / str(alpha)))
            file = tmp_path / str(alpha) / CONFIG_FILE
            file.write_text(json.dumps({**json.loads(file.read_text()), "lora_alpha": alpha}))
        adapted = [PeftSpec(method="peft", path=str(tmp_path / name)) for name in ("8", "2")]
    zoo = Zoo(tmp_path / "cache", lambda _: lambda *_: None)
    cards = [
        zoo.ensure(replace(RECIPE, backbone=Backbone(own, None, 0), adaptation=adaptation, images=images(32)))
        for own, adaptation in zip((spec, other), adapted, strict=True)
    ]
    assert cards[0].sha256 != cards[1].sha256


def test_a_configuration_that_is_none_is_refused(tmp_path: Path) -> None:
    folder = kept(tmp_path / "adapter", "lora")
    for text in ("{", "[]"):
        (folder / CONFIG_FILE).write_text(text)
        with pytest.raises(ModelError, match="copy it again"):
            content_hash(str(folder))
