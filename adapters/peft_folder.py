"""Adapter folders in peft's own format: ours load in plain peft, and those of plain peft load here."""

import hashlib
import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import nn

from adapters.card import ADAPTER_FILE, BASE_FILE, CONFIG_FILE
from adapters.errors import ModelError, about
from adapters.peft_config import canonical_config


def resolve_folder(path: str) -> Path:
    """The folder ``path``, or the download of the Hub repository of that name. Raises ModelError if there is none."""
    folder = Path(path)
    if not folder.is_dir():
        folder = _from_hub(path)
    for name in (CONFIG_FILE, ADAPTER_FILE):
        if not (folder / name).is_file():
            raise ModelError(f"{folder}: no {name} here, so this is no adapter as peft saves it (safetensors only, no pickle)")
    return folder


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(name, allow_patterns=[CONFIG_FILE, ADAPTER_FILE, BASE_FILE]))
    except HFValidationError:
        raise ModelError(f"{name}: no such adapter folder from here, and no name of a Hub repository either") from None
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"{name}: no such adapter folder beside the suite or in the current folder, and it cannot be fetched from the Hub "
            f"({type(error).__name__}); download it elsewhere and name its folder"
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
    """``network`` as a PeftModel with the adapter in ``path``. Raises ModelError if the two do not belong together."""
    from peft import PeftModel

    folder = resolve_folder(path)
    kept = adapter_keys(folder / ADAPTER_FILE)
    _refuse_code(folder / CONFIG_FILE)
    try:
        adapted: nn.Module = PeftModel.from_pretrained(network, str(folder), is_trainable=True)
    except (ValueError, RuntimeError, KeyError, TypeError, json.JSONDecodeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        reason = next((line for line in lines if "size mismatch" in line), lines[0])[:300]
        raise ModelError(f"{folder}: this adapter does not fit the backbone: {reason}") from None
    _check_keys(folder, adapted, kept)
    return adapted


def _refuse_code(file: Path) -> None:
    """Raise ModelError if peft would import a module that the configuration names (``peft.tuners.lora.tp_layer``)."""
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{file}: not a configuration of peft ({error}); copy it again") from None
    if not isinstance(config, dict) or config.get("megatron_config"):
        raise ModelError(f"{file}: refused, since loading it could run code (megatron_config has a module imported)")


def adapter_keys(file: Path) -> set[str]:
    """The names of the tensors in ``file``. Raises ModelError if it is damaged."""
    try:
        with safe_open(file, framework="pt") as opened:
            return set(opened.keys())
    except SafetensorError as error:
        raise ModelError(f"{file}: not a whole safetensors file ({error}); copy it again") from None


def _check_keys(folder: Path, adapted: nn.Module, kept: set[str]) -> None:
    """Peft only warns when weights of the adapter find no place, or places get no weights; here either is an error."""
    from peft import get_peft_model_state_dict

    wanted = set(get_peft_model_state_dict(adapted))
    if wanted != kept:
        unplaced, unfilled = sorted(kept - wanted), sorted(wanted - kept)
        example = f"'{unplaced[0]}' has no place" if unplaced else f"'{unfilled[0]}' gets no weights"
        raise ModelError(
            f"{folder}: this adapter belongs to another backbone: {example} ({len(unplaced) + len(unfilled)} such)"
        )
