"""Backbone -> adapted network: which parameters train, and how an adaptation is written and read."""

import copy
import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors.torch import load
from torch import nn

from adapters.backbones.networks import save_backbone
from adapters.backbones.weights import put
from adapters.errors import ModelError, within
from adapters.files.names import ADAPTER, ADAPTER_FILE, BASE_FILE, CONFIG_FILE, WEIGHTS, weights_name
from adapters.methods.adapter_effect import is_peft
from adapters.methods.atoms import join_atoms
from adapters.methods.base import Base, write_base
from adapters.methods.peft_folder import load_adapter
from adapters.methods.registry import method_of
from adapters.preprocessing import Preprocessing
from adapters.spec import Adaptation

log = logging.getLogger(__name__)


@within("adaptation")
def adapt(network: nn.Module, spec: Adaptation, seed: int) -> nn.Module:
    """``network`` with the parameters of ``spec`` trainable and no others."""
    return method_of(spec).adapt(network.requires_grad_(False), spec, seed)


def save_adapted(network: nn.Module, base: Base, folder: Path, expects: Preprocessing) -> None:
    """Write into ``folder`` what tuning changed: an adapter and ``base``, or all weights and ``expects``."""
    if is_peft(network):
        network.save_pretrained(str(folder / ADAPTER), save_embedding_layers=False)  # type: ignore[operator]
        write_base(base, folder / ADAPTER)
    else:
        save_backbone(network, folder / WEIGHTS, expects)


def load_adapted(
    network: nn.Module, spec: Adaptation, files: Mapping[str, bytes], adapter: Path
) -> nn.Module:
    """Put the tuned weights of ``files`` (by name) or ``adapter`` onto ``network`` (as ``adapt`` gets it)."""
    if weights_name(files) != WEIGHTS:
        return load_adapter(network, str(adapter))
    network = method_of(spec).reshaped(network)
    put(network, load(files[WEIGHTS]))
    return network


@contextmanager
def unpacked_adapter(files: Mapping[str, bytes]) -> Iterator[Path]:
    """A folder with the adapter among ``files``, for peft, which reads folders only."""
    with tempfile.TemporaryDirectory(prefix="bench-adapter-") as folder:
        for name in (CONFIG_FILE, ADAPTER_FILE, BASE_FILE):
            if (data := files.get(f"{ADAPTER}/{name}")) is not None:
                (Path(folder) / name).write_bytes(data)
        yield Path(folder)


def merged(network: nn.Module) -> nn.Module:
    """``network`` with its adapter added into the weights, or its atoms multiplied out; else itself."""
    if not hasattr(network, "merge_and_unload"):
        return join_atoms(network)
    plain: nn.Module = network.merge_and_unload()  # type: ignore[operator]
    return plain


def merged_copy(network: nn.Module) -> nn.Module | None:
    """A merged copy of ``network``; None, and said so, where peft cannot merge its adapter."""
    try:
        return merged(copy.deepcopy(network))
    except Exception as error:  # noqa: BLE001 (each of peft's methods has its own ways to refuse)
        log.warning("the adapter stays unmerged: it cannot be merged (%s)", error)
        return None


def check_trainable(network: nn.Module, spec: Adaptation) -> None:
    """Raise ModelError unless exactly the parameters that ``spec`` means are trainable."""
    trainable = {name for name, p in network.named_parameters() if p.requires_grad}
    expected = {
        name for name, _ in network.named_parameters() if method_of(spec).is_meant(network, spec, name)
    }
    if trainable != expected:
        wrong = sorted(trainable ^ expected)
        raise ModelError(
            f"{spec.method}: the wrong parameters would be trained, {len(wrong)} in all, for example"
            f" '{wrong[0]}'"
        )


def count_parameters(network: nn.Module, *, trainable: bool) -> int:
    """Number of parameters, all or only those that tuning changes."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad or not trainable)
