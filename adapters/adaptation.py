"""Backbone -> adapted network: which parameters train, and how an adapter is written and read in peft's own format."""

import re
from pathlib import Path

import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn

from adapters.errors import ModelError
from adapters.spec import Adaptation, BackboneSpec, LoraSpec
from adapters.strict import did_you_mean

WEIGHTS = "model.safetensors"
ADAPTER = "adapter"


def build_backbone(spec: BackboneSpec, num_classes: int, seed: int) -> nn.Module:
    """A randomly initialised ``spec.architecture`` with ``num_classes`` outputs."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module = getattr(torchvision.models, spec.architecture)(num_classes=num_classes)
    return network


def replace_head(network: nn.Module, num_classes: int) -> nn.Module:
    """Give ``network`` a new last layer that starts at zero.

    Zero, not random: an adapter on the head then holds all that was learnt, so that the adapter file and the backbone
    file alone give the model back.
    """
    old = network.fc
    if not isinstance(old, nn.Linear):
        raise ModelError("the backbone's last layer, fc, is not a linear layer; its head cannot be replaced")
    head = nn.Linear(old.in_features, num_classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    network.fc = head
    return network


def adapt(network: nn.Module, spec: Adaptation, seed: int) -> nn.Module:
    """``network`` with the parameters of ``spec`` trainable and no others."""
    if isinstance(spec, LoraSpec):
        return _with_lora(network, spec, seed)
    return network.requires_grad_(True)


def _with_lora(network: nn.Module, spec: LoraSpec, seed: int) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    check_targets(network, spec.targets)
    config = LoraConfig(
        r=spec.r,
        lora_alpha=spec.alpha,
        lora_dropout=spec.dropout,
        # A list would match by suffix (every block's conv1); a string is a full-match regular expression.
        target_modules="|".join(re.escape(name) for name in spec.targets),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapted: nn.Module = get_peft_model(network, config)
    return adapted


def check_targets(network: nn.Module, targets: tuple[str, ...]) -> None:
    """Raise ModelError unless each target is the exact name of a linear or convolution layer of ``network``."""
    layers = [name for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    for target in targets:
        if target not in layers:
            raise ModelError(f"LoRA target '{target}' is not a layer of this backbone; {did_you_mean(target, layers)}")


def save_adapted(network: nn.Module, folder: Path) -> Path:
    """Write what tuning changed into ``folder``; returns the file that holds the weights."""
    if hasattr(network, "peft_config"):
        network.save_pretrained(str(folder / ADAPTER))  # type: ignore[operator]
    else:
        save_file(network.state_dict(), folder / WEIGHTS)
    return weights_file(folder)


def weights_file(folder: Path) -> Path:
    """The file in ``folder`` that holds the tuned weights."""
    adapter = folder / ADAPTER / "adapter_model.safetensors"
    return adapter if adapter.is_file() else folder / WEIGHTS


def load_adapted(network: nn.Module, folder: Path) -> nn.Module:
    """Put the tuned weights in ``folder`` onto ``network`` (the backbone with its new head)."""
    if (folder / ADAPTER).is_dir():
        from peft import PeftModel

        adapted: nn.Module = PeftModel.from_pretrained(network, str(folder / ADAPTER))
        return adapted
    network.load_state_dict(load_file(folder / WEIGHTS))
    return network


def count_parameters(network: nn.Module, *, trainable: bool) -> int:
    """Number of parameters, all or only those that tuning changes."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad or not trainable)
