"""A network of milliseconds that every peft method for images fits on, and adapters of plain peft on it."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

IMAGES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
OPTIONS: dict[str, dict[str, Any]] = {
    "ADALORA": {"total_step": 10}, "C3A": {"block_size": 4}, "FOURIERFT": {"n_frequency": 8},
    "MISS": {"r": 2}, "IA3": {"feedforward_modules": ["b"]}, "LN_TUNING": {"target_modules": ["norm"]},
    "PSOFT": {"r": 2}, "SHIRA": {"r": 2}, "ROAD": {"group_size": 4}, "SUPERTUNING": {"sparsity": 0.5},
    "VBLORA": {"vector_length": 4, "num_vectors": 8}, "WAVEFT": {"n_frequency": 8},
}  # fmt: skip
"""What a method needs on layers as small as these."""


class Small(nn.Module):
    """A convolution, a normalisation and three linear layers; the weights are those of the ``seed``."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.conv, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.LayerNorm(8)
            self.a, self.b, self.fc = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x).mean((2, 3)))
        logits: Tensor = self.fc(torch.relu(self.b(torch.relu(self.a(x)))))
        return logits


def save_with_peft(folder: Path, method: str, disturb: Callable[[nn.Module], None], **options: Any) -> None:
    """Write an adapter of ``method``, as if trained, into ``folder``. Raises as peft does."""
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING, get_peft_model

    config: Any = PEFT_TYPE_TO_CONFIG_MAPPING[method]
    targets = (
        {"target_modules": ["a", "b"]}
        if "target_modules" in inspect.signature(config.__init__).parameters
        else {}
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        adapted = get_peft_model(Small(), config(**(targets | OPTIONS.get(method, {}) | options)))
        disturb(adapted)
    adapted.save_pretrained(str(folder))


def with_peft(folder: Path) -> nn.Module:
    """What plain peft makes of the adapter in ``folder``."""
    from peft import PeftModel

    network: nn.Module = PeftModel.from_pretrained(Small(), str(folder)).eval()
    return network
