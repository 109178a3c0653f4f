"""Models that scale the suite's images inside: the attack stays in the suite's image space."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)

import bench
from adapters.backbones.networks import build_backbone, save_backbone
from adapters.preprocessing import Preprocessing
from adapters.scaling import scaled
from adapters.spec import BackboneSpec
from bench import data
from bench.data.spec import DataSpec
from tests.builders.plain_loop import fgsm, right

HALF = (0.5, 0.5, 0.5)
VIT: dict[str, Any] = {
    "architecture": "timm/vit_tiny_patch16_224",
    "kwargs": {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 2},
}
DATA = {"source": "digits", "classes": [0, 1, 2], "samples": 24, "size": 16}


@pytest.mark.parametrize(("side", "to"), [(16, 32), (32, 16), (16, 24), (24, 7), (8, 8)])
def test_scaling_is_interpolation_and_so_is_its_gradient(side: int, to: int) -> None:
    x = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ours, theirs = scaled(x, to), F.interpolate(x, size=(to, to), mode="bilinear", antialias=True)
    torch.testing.assert_close(ours, theirs)
    weights = torch.rand(ours.shape, generator=torch.Generator().manual_seed(1))
    (one,), (other,) = (torch.autograd.grad((found * weights).sum(), x) for found in (ours, theirs))
    torch.testing.assert_close(one, other)


def test_pixels_are_not_rounded_where_layers_are() -> None:
    x = torch.rand(1, 3, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(scaled(x, 32), scaled(x, 32).float())
        assert scaled(x, 32).dtype == torch.float32


def written(folder: Path, name: str, spec: BackboneSpec) -> dict[str, Any]:
    save_backbone(
        build_backbone(spec, 3, 0), folder / f"{name}.safetensors", Preprocessing(HALF, HALF, "training")
    )
    return {**spec.model_dump(exclude_unset=True), "weights": f"{name}.safetensors"}


def test_models_of_other_sizes_are_attacked_in_the_suite_s_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    resnet = BackboneSpec(architecture="timm/test_resnet")
    named = {
        "as-they-are": (written(tmp_path, "a", resnet), None),
        "vit": (written(tmp_path, "b", BackboneSpec(**VIT)), 32),
        "small": (written(tmp_path, "c", resnet.model_copy(update={"input_size": 12})), 12),
    }
    named["small"][0]["input_size"] = 12
    models = [
        {"name": name, "adaptation": {"method": "none"}, "backbone": b} for name, (b, _) in named.items()
    ]
    suite = {
        "name": "sizes", "data": DATA, "models": models, "eps": ["2/255", "16/255"],
        "attacks": [{"attack": "fgsm"}], "trust": "off",
    }  # fmt: skip
    result = bench.run(suite, results=tmp_path / "results")
    images = data.load(DataSpec.model_validate(DATA), "test", trained=False)
    x, y = torch.from_numpy(images.x), torch.from_numpy(images.labels)
    for name, (backbone, side) in named.items():
        spec = BackboneSpec(**{k: v for k, v in backbone.items() if k != "weights"})
        network = build_backbone(spec, 3, 0).eval()

        def logits(
            x: torch.Tensor, side: int | None = side, network: torch.nn.Module = network
        ) -> torch.Tensor:
            seen = x if side is None else F.interpolate(x, size=(side, side), mode="bilinear", antialias=True)
            return network((seen - 0.5) / 0.5)  # type: ignore[no-any-return]

        clean = right(logits, x, y)
        for eps in (2, 16):
            rows = result.samples.query(f"model == '{name}' and eps == '{eps}/255' and library == 'foolbox'")
            assert rows["id"].tolist() == list(images.ids)
            np.testing.assert_array_equal(
                rows["success"], clean & ~right(logits, fgsm(logits, x, y, eps / 255), y)
            )
    said = str(result)
    assert "scaled inside vit: 16 px images to 32 px, bilinear; eps is of the 16 px" in said
    assert "scaled inside small: 16 px images to 12 px, bilinear" in said
    assert result.is_complete


def test_sizes_that_differ_are_settled_by_the_suite_or_by_an_input_size(tmp_path: Path) -> None:
    larger = {**VIT, "kwargs": {**VIT["kwargs"], "img_size": 64}}
    models = [
        {"name": n, "adaptation": {"method": "head"}, "backbone": b} for n, b in (("a", VIT), ("b", larger))
    ]
    suite: dict[str, Any] = {
        "name": "s", "data": {k: v for k, v in DATA.items() if k != "size"} | {"train_per_class": 4},
        "models": models, "training": {"epochs": 1, "augmentation": "none"}, "eps": ["2/255"],
        "attacks": [{"attack": "fgsm"}], "trust": "off",
    }  # fmt: skip
    with pytest.raises(
        bench.UserError, match=r"different sizes \(a: 32; b: 64\); give size here.*then scales inside"
    ):
        bench.run(suite, results=tmp_path)
    models[1]["backbone"] = {**larger, "input_size": 64}
    result = bench.run(suite, results=tmp_path)
    assert "32 px images to 64 px" in str(result)
    trained = {**result.leaderboard.set_index("model")["parameters"].to_dict()}
    assert trained["b"] - trained["a"] == 24 * (64 - 16)  # positions
