"""Layers of transformers under their names in files: other versions of transformers call them otherwise.

Files keep the first names (``vit.encoder.layer.0.attention.attention.query``), whatever the layers are called
today (``vit.layers.0.attention.q_proj``). Adapters of peft were saved under those of their day.
"""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from adapters.files.names import ADAPTER_FILE, CONFIG_FILE

PREFIX = "base_model.model."
"""How peft begins the names of an adapter's tensors."""
PATTERNS = ("rank_pattern", "alpha_pattern")
"""Tables of peft's from names of layers, or how they end, to numbers."""
CONSUMED = ("layers_to_transform", "layers_pattern", "exclude_modules")
"""Fields that only choose among the target modules, which are written out."""


def names_in_files(network: nn.Module) -> dict[str, str]:
    """The layers of ``network`` that are called otherwise in files of transformers, by their names now."""
    if not hasattr(getattr(network, "config", None), "model_type"):
        return {}
    from transformers.core_model_loading import revert_weight_conversion

    state: dict[str, Tensor] = network.state_dict()
    now = {id(tensor): name for name, tensor in state.items()}
    saved: Mapping[str, Tensor] = revert_weight_conversion(network, dict(state))
    pairs = [(now[id(tensor)], name) for name, tensor in saved.items() if id(tensor) in now]
    layers = {name.rpartition(".")[0]: saved_as.rpartition(".")[0] for name, saved_as in pairs}
    return {name: saved_as for name, saved_as in layers.items() if name != saved_as}


@contextmanager
def in_names_of(network: nn.Module, folder: Path, state: Mapping[str, Tensor], config: Any) -> Iterator[Path]:
    """The adapter in ``folder`` (tensors ``state``, peft's ``config``), in the names ``network`` has now.

    That is ``folder`` itself, unless its layers go by the names of transformers' files.
    """
    earlier = names_in_files(network)
    tensors = {
        _renamed(name, {saved: now for now, saved in earlier.items()}): tensor
        for name, tensor in state.items()
    }
    if tensors.keys() == state.keys():
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="bench-adapter-") as temporary:
        fields = json.loads((folder / CONFIG_FILE).read_bytes())
        layers = {name: earlier.get(name, name) for name, _ in network.named_modules() if name}
        (Path(temporary) / CONFIG_FILE).write_text(json.dumps({**fields, **_fields(config, layers)}))
        save_file(tensors, Path(temporary) / ADAPTER_FILE)
        yield Path(temporary)


def _renamed(name: str, now: Mapping[str, str]) -> str:
    """``name`` of an adapter's tensor with its layer called as it is ``now``, by its name in files."""
    parts = name.removeprefix(PREFIX).split(".")
    for i in range(len(parts) - 1, 0, -1):
        if (layer := ".".join(parts[:i])) in now:
            return PREFIX + ".".join([now[layer], *parts[i:]])
    return name


def _fields(config: Any, layers: Mapping[str, str]) -> dict[str, Any]:
    """Fields of ``config`` that name layers, with the names now; ``layers`` has those in files, by these."""
    from peft.tuners.tuners_utils import check_target_module_exists

    found: dict[str, Any] = {}
    if getattr(config, "target_modules", None) not in (None, "all-linear"):
        meant = [name for name, saved in layers.items() if check_target_module_exists(config, saved)]
        found["target_modules"] = "|".join(map(re.escape, meant))
        found |= {name: None for name in CONSUMED if getattr(config, name, None) is not None}
    if isinstance(chosen := getattr(config, "feedforward_modules", None), list | set | tuple):
        found["feedforward_modules"] = [
            n for n, saved in layers.items() if any(_ends(saved, name) for name in chosen)
        ]
    for field in PATTERNS:
        table = getattr(config, field, None) or {}
        matched = {
            re.escape(name): next(
                (v for pattern, v in table.items() if re.fullmatch(rf"(.*\.)?({pattern})", saved)), None
            )
            for name, saved in layers.items()
        }
        if table:
            found[field] = {name: value for name, value in matched.items() if value is not None}
    return found


def _ends(name: str, end: str) -> bool:
    return f".{name}".endswith(f".{end}")
