"""Adapter folders in peft's own format: ours load in plain peft, and those of plain peft load here."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from adapters.backbones.weights import listed, read_safetensors, some, unusable
from adapters.errors import ModelError, about
from adapters.files.guards import brief, is_there
from adapters.files.names import ADAPTER_FILE, BASE_FILE, CONFIG_FILE
from adapters.methods.adapter_config import AdapterConfig
from adapters.methods.earlier_names import in_names_of
from adapters.methods.peft_config import canonical_config

PICKLED_FILE = "adapter_model.bin"


def resolve_folder(path: str) -> Path:
    """The folder ``path``, or the download of the Hub repository of that name.

    Raises ModelError if there is none.
    """
    folder = Path(path)
    if is_there(folder):
        raise ModelError(
            f"{folder}: a file; name the folder that peft saved, of {CONFIG_FILE} and {ADAPTER_FILE}"
        )
    if not _is_folder(folder):
        folder = _from_hub(path)
    for name in (CONFIG_FILE, ADAPTER_FILE):
        if not is_there(folder / name):
            raise ModelError(
                f"{folder}: no {name} here, so this is not an adapter as peft saves it{_advice(folder)}"
            )
    return folder


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # too long, or with a zero byte
        return False


def _advice(folder: Path) -> str:
    """What to do about a ``folder`` that is not an adapter."""
    if is_there(folder / PICKLED_FILE):
        return (
            f"; {PICKLED_FILE} is here, but no pickle is read: save the adapter again"
            " (safe_serialization=True), or convert it:"
            f" safetensors.torch.save_file(torch.load('{PICKLED_FILE}', weights_only=True), '{ADAPTER_FILE}')"
        )
    within = sorted(file.parent.relative_to(folder) for file in folder.glob(f"*/{CONFIG_FILE}"))
    if within:
        return f"; there is one in {some([str(name) for name in within])}: name that folder"
    return " (safetensors only, no pickle)"


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(name, allow_patterns=[CONFIG_FILE, ADAPTER_FILE, BASE_FILE]))
    except HFValidationError:
        raise ModelError(
            f"{brief(name)}: no such adapter folder from here, and not the name of a Hub repository either"
        ) from None
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"{brief(name)}: no such adapter folder beside the suite or in the current folder, and it cannot"
            f" be fetched from the Hub ({type(error).__name__}); download it elsewhere and name its folder"
        ) from None


def content_hash(path: str) -> str:
    """sha256 over what an adapter's configuration says, its weights, and what is noted of its base."""
    folder = resolve_folder(path)
    config = canonical_config((folder / CONFIG_FILE).read_bytes(), folder / CONFIG_FILE)
    digest = hashlib.sha256(config.encode())
    digest.update((folder / ADAPTER_FILE).read_bytes())
    if (folder / BASE_FILE).is_file():
        digest.update((folder / BASE_FILE).read_bytes())
    return digest.hexdigest()


@about("path")
def load_adapter(network: nn.Module, path: str) -> nn.Module:
    """``network`` as a PeftModel with the adapter in ``path``.

    Raises ModelError if the two do not belong together.
    """
    from peft import PeftModel

    folder = resolve_folder(path)
    state = adapter_state(folder)
    config = read_config(folder, state)
    _check_saved(folder, network, config.fields.get("modules_to_save"), state)
    try:
        with in_names_of(network, folder, state, config.build()) as named:
            state = adapter_state(named)
            built = read_config(named, state).build()
            adapted: nn.Module = PeftModel.from_pretrained(
                network, str(named), is_trainable=True, config=built
            )
    except Exception as error:  # noqa: BLE001 (each of peft's methods has its own ways to refuse a stranger's values)
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        reason = next((line for line in lines if "size mismatch" in line), lines[0])[:300]
        method = config.fields["peft_type"]
        raise ModelError(f"{folder}: this adapter ({method}) does not fit the backbone: {reason}") from None
    _check_tensors(folder, adapted, state)
    return adapted


def adapter_state(folder: Path) -> dict[str, Tensor]:
    """The tensors of the adapter in ``folder``, by name. Raises ModelError if the file is damaged."""
    return read_safetensors(folder / ADAPTER_FILE)


def read_config(folder: Path, state: Mapping[str, Tensor]) -> AdapterConfig:
    """The configuration of the adapter in ``folder``, whose tensors are ``state``."""
    return AdapterConfig(folder, max((side for tensor in state.values() for side in tensor.shape), default=0))


def _check_saved(folder: Path, network: nn.Module, modules: object, state: Mapping[str, Tensor]) -> None:
    """Raise ModelError for a layer trained beside the adapter, by its configuration, that is not there."""
    named = [name for name in modules if isinstance(name, str)] if isinstance(modules, list) else []
    for name in named:
        there = [entry for entry in network.state_dict() if f".{name}." in f".{entry.rpartition('.')[0]}."]
        if there and not any(key.endswith(f".{entry}") for key in state for entry in there):
            raise ModelError(
                f"{folder}: '{brief(name)}' was trained with this adapter (modules_to_save), but"
                f" {ADAPTER_FILE} does not hold it; save the adapter again, by save_pretrained of the whole"
                " PeftModel"
            )


def _check_tensors(folder: Path, adapted: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Peft only warns when adapter weights find no place, or places get no weights; here either is an error.

    So is what torch would copy in silence: whole numbers, complex ones, NaN.
    """
    from peft import get_peft_model_state_dict

    wanted = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    _check_biases(folder, adapted, wanted, state)
    if wanted.keys() != state.keys():
        unplaced, unfilled = sorted(state.keys() - wanted.keys()), sorted(wanted.keys() - state.keys())
        example = f"'{brief(unplaced[0])}' has no place" if unplaced else f"'{unfilled[0]}' gets no weights"
        raise ModelError(
            f"{folder}: this adapter belongs to another backbone or configuration: {example} "
            f"({len(unplaced) + len(unfilled)} such)"
        )
    if problems := unusable(wanted, state):
        raise ModelError(f"{folder}: these are not the weights of an adapter; {listed(problems)}")


def _check_biases(
    folder: Path, adapted: nn.Module, wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]
) -> None:
    """Before 0.21, peft neither saves nor loads most biases that it trains with an adapter; it says nothing.

    ``wanted`` are the tensors that the installed peft reads and writes, ``state`` those that are there.
    """
    trained = {
        name
        for name, parameter in adapted.named_parameters()
        if parameter.requires_grad
        and name.endswith(".bias")
        and "original_module" not in name
        and f".{adapted.active_adapter}" not in name
    }
    lost = sorted(trained - (wanted.keys() & state.keys()))
    if lost and wanted.keys() ^ state.keys() <= trained:
        where = f"{ADAPTER_FILE} does not hold it" if lost[0] not in state else "this peft does not load it"
        raise ModelError(
            f"{folder}: '{brief(lost[0])}' was trained with this adapter (bias), but {where}; peft before"
            " 0.21 loses such biases: save the adapter again, and load it, with peft 0.21 or newer"
        )
