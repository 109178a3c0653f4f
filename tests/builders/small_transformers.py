"""Small random image classifiers of transformers, saved as transformers saves them; their heads are fitted
to the pictures."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adapters.backbones.from_transformers import quiet
from adapters.backbones.networks import find_head
from tests.builders.plain import batch, fit_head, pictures

SIZE = 32
NAMES = ("cat", "dog", "cow")
LABELS = [i % 3 for i in range(24)]
ATTENTION = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 8}
KINDS: dict[str, dict[str, Any]] = {
    "ViT": {**ATTENTION, "intermediate_size": 32},
    "DeiT": {**ATTENTION, "intermediate_size": 32},
    "Beit": {**ATTENTION, "intermediate_size": 32, "use_relative_position_bias": True},
    "Dinov2": {**ATTENTION, "mlp_ratio": 2, "use_swiglu_ffn": True},
    "Swin": {"embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4, "patch_size": 4},
    "ConvNext": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]},
    "ResNet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
}
PROCESSORS = {"Dinov2": "BitImageProcessor", "Swin": "ViTImageProcessor", "ResNet": "ConvNextImageProcessor"}


@cache
def today() -> dict[str, str]:
    """How layers are called in files -> in the installed transformers: before 5.9, as in files."""
    import transformers

    network = transformers.ViTModel(transformers.ViTConfig(image_size=SIZE, **KINDS["ViT"]))
    renamed = any(name.endswith(".q_proj") for name, _ in network.named_modules())
    names = {
        "query": "q_proj",
        "value": "v_proj",
        "attention.attention.query": "attention.q_proj",
        "vit.encoder.layer.1.attention.attention.query": "vit.layers.1.attention.q_proj",
    }
    return names if renamed else {name: name for name in names}


def save_model(
    folder: Path, kind: str = "ViT", names: Sequence[str] = NAMES, labels: Sequence[int] = LABELS
) -> Any:
    """Write a small ``kind`` that calls the pictures ``labels`` of ``names``, with its image processor;
    the model itself."""
    import transformers

    config = getattr(transformers, f"{kind}Config")(image_size=SIZE, num_labels=len(names), **KINDS[kind])
    config.id2label = dict(enumerate(names))
    config.label2id = {name: i for i, name in enumerate(names)}
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(0)
        model = getattr(transformers, f"{kind}ForImageClassification")(config).eval()
    fit_head(
        Answers(model), find_head(model)[1], normalised(batch(pictures(len(labels), SIZE))), list(labels)
    )
    with quiet():
        model.save_pretrained(str(folder))
    processor = getattr(transformers, PROCESSORS.get(kind, f"{kind}ImageProcessor"))
    size = {"height": SIZE, "width": SIZE}
    options = {"do_center_crop": False, "image_mean": [0.5] * 3, "image_std": [0.25] * 3, "size": size}
    if kind in ("ConvNext", "ResNet"):
        options |= {"size": {"shortest_edge": SIZE}, "crop_pct": 1.0}
    processor(**options).save_pretrained(str(folder))
    return model


class Answers(nn.Module):
    """The logits of ``model`` of transformers, without us."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(pixel_values=x).logits
        return logits


def normalised(x: Tensor) -> Tensor:
    """As the image processors of these models have it."""
    return (x - 0.5) / 0.25
