"""adapter_config.json as what it says of an adapter's function."""

import json
from typing import Any

from adapters.files.guards import parse_json

BESIDE_THE_FUNCTION = ("base_model_name_or_path", "revision", "inference_mode", "peft_version")
"""Fields on an adapter's origin: here the suite names its base, and peft puts it on as for training."""


def canonical_config(data: bytes, where: object) -> str:
    """What the configuration ``data`` says of the function, in one form however it is written.

    Raises ModelError if it is none. Two configurations that differ here may be two functions with the same
    weights: another scale, other layers, another start.
    """
    fields = parse_json(data, where)
    return json.dumps(
        {k: _unordered(v) for k, v in fields.items() if k not in BESIDE_THE_FUNCTION}, sort_keys=True
    )


def _unordered(value: Any) -> Any:
    """Names of modules are a set, which peft writes in any order."""
    names = isinstance(value, list) and all(isinstance(name, str) for name in value)
    return sorted(value) if names else value
