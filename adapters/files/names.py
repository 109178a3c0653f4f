"""How the files of a trained model's folder are named."""

from collections.abc import Collection

WEIGHTS = "model.safetensors"
ADAPTER = "adapter"
ADAPTER_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
BASE_FILE = "base_model.json"
"""Ours alone, see adapters.methods.base: peft neither writes nor reads it."""
OUTPUTS_FILE = "outputs.json"
"""Which of the network's outputs are the classes, if not all of them in order, see adapters.outputs."""

CODE = "code/"
"""Before the names of the modules of a user's own code, among a model's files."""


def weights_name(names: Collection[str]) -> str:
    """Which of the files ``names`` of a model's folder holds its weights."""
    adapter = f"{ADAPTER}/{ADAPTER_FILE}"
    return adapter if adapter in names else WEIGHTS
