"""The precision in which adversarials are crafted. They are judged in float32, whatever it is."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from adapters.spec import Precision


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context of a forward pass: bfloat16 where ``precision`` is bf16, else as it is."""
    if precision != "bf16" and not torch.is_autocast_enabled(device.type):
        return nullcontext()  # torch's own takes as long as a small layer
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


class TwoPrecisions(nn.Module):
    """Parametrization of a frozen weight: bfloat16 under autocast, which would round it so at every pass."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("low", weight.to(torch.bfloat16), persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight, as the pass needs it."""
        return self.get_buffer("low") if torch.is_autocast_enabled(weight.device.type) else weight


def round_once(network: nn.Module) -> None:
    """Let the convolutions and linear layers of ``network`` (frozen) keep their weights in bfloat16 too."""
    for module in list(network.modules()):
        if (
            type(module) is nn.Conv2d or type(module) is nn.Linear
        ):  # what is derived from them may reckon its own weights
            register_parametrization(module, "weight", TwoPrecisions(module.weight.detach()))


@contextmanager
def multiplying(precision: Precision) -> Iterator[None]:
    """The context of both passes: a GPU rounds to TF32 only if ``precision`` says so.

    By default torch lets convolutions do it.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def unavailable(precision: Precision, device: str) -> str | None:
    """Why nothing can be crafted in ``precision`` on ``device``; None if it can."""
    if precision != "tf32":
        return None
    if not device.startswith("cuda"):
        return f"tf32 is a mode of NVIDIA GPUs, and this run is on the {device}"
    if torch.cuda.get_device_capability(device) < (8, 0):
        return "this GPU has no tf32: it needs compute capability 8.0"
    return None
