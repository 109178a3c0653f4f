"""Which network an adapter was put on: noted beside the adapter, since on another one its numbers would be silently wrong."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import nn

from adapters.backbones import find_head, replace_head
from adapters.card import ADAPTER_FILE, BASE_FILE
from adapters.errors import ModelError, about, within
from adapters.peft_folder import adapter_keys, resolve_folder


@dataclass(frozen=True)
class Base:
    """A network before its adapter: the ``sha256`` of its weights, without the head where that is a new one of zeros."""

    sha256: str
    new_head: bool


def base_of(network: nn.Module) -> Base:
    """What is noted of ``network``."""
    name, new = _new_head(network)
    digest = hashlib.sha256()
    for key, tensor in sorted(network.state_dict().items()):
        if not (new and key.startswith(f"{name}.")):
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return Base(digest.hexdigest(), new)


def _new_head(network: nn.Module) -> tuple[str, bool]:
    """The name of the head, and whether it is a new one of zeros; a head that cannot be replaced is not."""
    try:
        name, head = find_head(network)
    except ModelError:
        return "", False
    return name, not any(p.detach().any() for p in head.parameters())


def write_base(base: Base, folder: Path) -> None:
    """Note ``base`` beside the adapter in ``folder``."""
    (folder / BASE_FILE).write_text(json.dumps(asdict(base)) + "\n", encoding="utf-8")


def read_base(folder: Path) -> Base | None:
    """What is noted beside the adapter in ``folder``: None for one that plain peft has saved."""
    file = folder / BASE_FILE
    if not file.is_file():
        return None
    try:
        return Base(**json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ModelError(f"{file}: not a note of ours ({error}); copy the adapter's folder again") from None


@within("adaptation")
@about("path")
def fit_base(network: nn.Module, has: int, path: str, num_classes: int) -> nn.Module:
    """``network`` (a backbone with its own head of ``has`` classes) as the adapter in ``path`` needs it, for ``num_classes``.

    Raises ModelError if the adapter was made on other weights, or on a head that neither it nor the backbone has.
    """
    folder = resolve_folder(path)
    base = read_base(folder)
    if base is None and has != num_classes:
        _check_carries_head(folder, network, has, num_classes)
    if has != num_classes or (base is not None and base.new_head):
        network = replace_head(network, num_classes)
    if base is not None and base != base_of(network):
        raise ModelError(f"{folder}: this adapter was made on other weights than this backbone's; name those it was made on")
    return network


def _check_carries_head(folder: Path, network: nn.Module, has: int, num_classes: int) -> None:
    name, head = find_head(network)
    missing = {f"base_model.model.{name}.{part}" for part, _ in head.named_parameters()} - adapter_keys(folder / ADAPTER_FILE)
    if missing:
        raise ModelError(
            f"{folder}: the backbone has {has} classes, the data have {num_classes}, and this adapter does not hold the head "
            f"'{name}' that it was made with; save it with modules_to_save=['{name}'], or give backbone weights that include it"
        )
