"""Which network an adapter was put on, noted beside it: on another its numbers would be silently wrong."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import nn

from adapters.backbones.networks import find_head, replace_head
from adapters.backbones.weights import rounded
from adapters.errors import ModelError, about, within
from adapters.files.guards import brief, read_json
from adapters.files.names import BASE_FILE
from adapters.methods.adapter_config import AdapterConfig
from adapters.methods.peft_folder import adapter_state, read_config, resolve_folder


@dataclass(frozen=True)
class Base:
    """A network before its adapter: the ``sha256`` of its weights, less the head if that is new and zero."""

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


def is_new_head(network: nn.Module) -> bool:
    """Whether the head of ``network`` is a new one of zeros: nothing has trained it."""
    return _new_head(network)[1]


def write_base(base: Base, folder: Path) -> None:
    """Note ``base`` beside the adapter in ``folder``."""
    (folder / BASE_FILE).write_text(json.dumps(asdict(base)) + "\n", encoding="utf-8")


def read_base(folder: Path) -> Base | None:
    """What is noted beside the adapter in ``folder``: None for one that plain peft has saved."""
    file = folder / BASE_FILE
    if not file.is_file():
        return None
    try:
        return Base(**read_json(file))
    except TypeError as error:
        raise ModelError(
            f"{file}: not a note that bench wrote ({error}); copy the adapter's folder again"
        ) from None


@within("adaptation")
@about("path")
def fit_base(network: nn.Module, has: int, path: str, num_classes: int) -> nn.Module:
    """``network``, whose own head has ``has`` classes, as ``path``'s adapter needs it for ``num_classes``.

    Raises ModelError if the adapter was made on other weights, or on a head that neither it nor the backbone
    has.
    """
    folder = resolve_folder(path)
    base = read_base(folder)
    if base is None and (has != num_classes or is_new_head(network)):
        _check_carries_head(folder, network, has, num_classes)
    if has != num_classes or (base is not None and base.new_head):
        network = replace_head(network, num_classes)
    if base is not None and base != base_of(network):
        raise ModelError(
            f"{folder}: this adapter was made on weights other than this backbone's; name the ones it was"
            " made on"
        )
    return network


def _check_carries_head(folder: Path, network: nn.Module, has: int, num_classes: int) -> None:
    name, _ = find_head(network)
    if not _holds(folder, network, name):
        backbone = (
            "holds no head" if is_new_head(network) else f"has {has} classes, the data have {num_classes}"
        )
        raise ModelError(
            f"{folder}: the backbone {backbone}, and this adapter does not hold the head '{name}' that it was"
            f" made with; save it with modules_to_save=['{name}'], or give backbone weights that include it"
        )


def holds_head(path: str, network: nn.Module) -> bool:
    """Whether the adapter in ``path`` brings the head of ``network``."""
    return _holds(resolve_folder(path), network, find_head(network)[0])


def _holds(folder: Path, network: nn.Module, head: str) -> bool:
    """Whether the adapter in ``folder`` holds every tensor of the layer ``head``."""
    names = {f"base_model.model.{head}.{part}" for part, _ in network.get_submodule(head).named_parameters()}
    return names <= adapter_state(folder).keys()


def notes_on_adapter(network: nn.Module, path: str) -> tuple[str, ...]:
    """Sentences on the adapter in ``path``, for ``network``: what is ignored, rounded, or cannot be known."""
    folder = resolve_folder(path)
    state = adapter_state(folder)
    config = read_config(folder, state)
    return (*config.notes, *rounded(state, folder.name), *_on_the_head(folder, network, config))


def _on_the_head(folder: Path, network: nn.Module, config: AdapterConfig) -> tuple[str, ...]:
    """That the head is the backbone's own, where nothing tells if the adapter was trained under that one."""
    try:
        head, _ = find_head(network)
    except ModelError:
        head = ""
    if read_base(folder) is not None or (head and _holds(folder, network, head)):
        return ()
    base = config.fields.get("base_model_name_or_path")
    made = f" (on {brief(base)}, as its configuration says)" if base else ""
    which = f"the head '{head}'" if head else "the head"
    return (
        (
            f"{folder.name}: the adapter does not hold {which} that it was trained under{made}; it is judged"
            " under the backbone's own, and its numbers are right only if that is the same one"
        ),
    )
