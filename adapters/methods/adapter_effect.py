"""Which layers of an adapter act: one that changes nothing has the base model compared with itself.

peft's own ``disable_adapter`` does not show it: it also takes away the head that was trained beside the
adapter.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def is_peft(network: nn.Module) -> bool:
    """Whether ``network`` is a PeftModel."""
    return hasattr(network, "peft_config")


def adapted_layers(network: nn.Module) -> dict[str, Any]:
    """Layers of ``network`` (a PeftModel) with the adapter, by their backbone names; none within another."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    found: dict[str, Any] = {}
    for name, module in network.get_base_model().named_modules():  # type: ignore[operator]
        if isinstance(module, BaseTunerLayer) and not any(name.startswith(f"{outer}.") for outer in found):
            found[name] = module
    return found


@contextmanager
def switched_off(layers: Iterable[Any]) -> Iterator[None]:
    """The adapter of ``layers`` does nothing in here; a head trained beside it stays."""
    chosen = list(layers)
    for layer in chosen:
        layer.enable_adapters(enabled=False)
    try:
        yield
    finally:
        for layer in chosen:
            layer.enable_adapters(enabled=True)


@torch.inference_mode()
def acting(network: nn.Module, x: Tensor) -> dict[str, bool]:
    """Of each adapted layer called for ``x``, in one pass: whether the adapter changes its output."""
    seen: dict[str, bool] = {}

    def compare(name: str) -> Any:
        def hook(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            with switched_off([layer]):
                without = layer.forward(*args, **kwargs)
            seen[name] = seen.get(name, False) or not torch.equal(_first(output), _first(without))

        return hook

    with ExitStack() as hooks:
        for name, layer in adapted_layers(network).items():
            hooks.callback(layer.register_forward_hook(compare(name), with_kwargs=True).remove)
        network(x)
    return seen


def _first(output: Any) -> Tensor:
    """What a layer gives: attention gives its weights too."""
    tensor: Tensor = output[0] if isinstance(output, tuple) else output
    return tensor


@torch.inference_mode()
def has_effect(network: nn.Module, x: Tensor) -> bool:
    """Whether the adapter of ``network`` (a PeftModel) changes what it says of ``x``."""
    with switched_off(adapted_layers(network).values()):
        without = network(x)
    return not torch.equal(network(x), without)
