"""A folder as transformers saves a model, here or on the Hub: found, hashed, and read with nothing run."""

import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.errors import ModelError, about
from adapters.files.guards import brief, is_there, read_json

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "config.json"
PROCESSOR = "preprocessor_config.json"
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
"""The weights in one file, and the names of the files of weights in several."""
PART = re.compile(r"[\w.-]+\.safetensors")
WANTED = (CONFIG, PROCESSOR, "*.safetensors", INDEX)
REPOSITORY = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
"""What can be the name of a model on the Hub."""
NO_FUNCTION = (
    "_name_or_path",
    "transformers_version",
    "torch_dtype",
    "dtype",
    "architectures",
    "id2label",
    "label2id",
)
"""Fields on where a model comes from and what its outputs are called: they change none of these."""


def placed(name: str, folders: Sequence[Path]) -> str:
    """``name`` in the first of ``folders`` that has it, else as it is, if it may be on the Hub.

    Raises ModelError.
    """
    try:
        found = next(
            (where for place in folders if (where := place / Path(name).expanduser()).exists()), None
        )
    except (OSError, ValueError, RuntimeError):  # too long, with a zero byte, or of a user who is none
        found = None
    if found is not None:
        return str(found.absolute())
    if REPOSITORY.fullmatch(name):
        return name
    looked = ", ".join(dict.fromkeys(str(place.absolute()) for place in folders))
    with about("architecture"):
        raise ModelError(f"{brief(name)}: no such model folder; looked in {looked}")


@about("architecture")
def folder_of(name: str) -> Path:
    """The folder ``name``, or the download of the Hub's model of that name, whole.

    Raises ModelError if there is none.
    """
    on_hub = REPOSITORY.fullmatch(name) and not Path(name).is_dir()
    folder = _from_hub(name) if on_hub else Path(name)
    if is_there(folder):
        raise ModelError(
            f"{folder}: a file; name the folder that transformers saved, of {CONFIG} and {WHOLE}"
        )
    if not folder.is_dir():
        raise ModelError(f"{brief(name)}: no such model folder")
    if not is_there(folder / CONFIG):
        raise ModelError(
            f"{folder}: no {CONFIG} here, so this is not a model as transformers saves it (save_pretrained)"
        )
    if not is_there(folder / WHOLE) and not is_there(folder / INDEX):
        raise ModelError(f"{folder}: no {WHOLE} here{_advice(folder)}")
    weight_files(folder)
    return folder


def _advice(folder: Path) -> str:
    if is_there(folder / "adapter_config.json"):
        return (
            "; an adapter of peft is named as one: adaptation: {method: peft, path: FOLDER}, on the model"
            " that it was made on"
        )
    if is_there(folder / "pytorch_model.bin"):
        return "; pytorch_model.bin is, but no pickle is read: save the model again (safe_serialization=True)"
    return "; save the model again, by save_pretrained"


@cache
def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(name, allow_patterns=list(WANTED)))
    except HFValidationError:
        raise ModelError(
            f"{brief(name)}: no such model folder from here, and not the name of a model on the Hub either"
        ) from None
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"{brief(name)}: no such model folder beside the suite or in the current folder, and it cannot be"
            f" fetched from the Hub ({type(error).__name__}); on a machine with network access, run `hf"
            " download"
            f" {brief(name)} --local-dir FOLDER`, and name that folder: architecture: transformers/FOLDER"
        ) from None


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of the network in ``folder``."""
    return read_json(folder / CONFIG)


def weight_files(folder: Path) -> list[Path]:
    """The files of the weights in ``folder``. Raises ModelError if one is missing, or not in the folder."""
    if is_there(folder / WHOLE):
        return [folder / WHOLE]
    places = read_json(folder / INDEX).get("weight_map")
    names = (
        sorted(set(places.values()))
        if isinstance(places, dict) and all(map(_is_text, places.values()))
        else []
    )
    for name in names:
        if not PART.fullmatch(name) or not is_there(folder / name):
            raise ModelError(
                f"{folder / INDEX}: names '{brief(name)}', which is not a weights file here; copy the folder"
                " again"
            )
    if not names:
        raise ModelError(f"{folder / INDEX}: names no files of weights; copy the folder again")
    return [folder / name for name in names]


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def read_weights(folder: Path) -> "dict[str, Tensor]":
    """The tensors in ``folder``, by their names there."""
    from adapters.backbones.weights import read_safetensors

    state: dict[str, Tensor] = {}
    for file in weight_files(folder):
        state |= read_safetensors(file)
    return state


def hash_of_function(folder: Path) -> str:
    """sha256 over what ``folder``'s configuration says of the network, in one form however it is written."""
    fields = {k: v for k, v in read_config(folder).items() if k not in NO_FUNCTION}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def hash_of_weights(folder: Path) -> str:
    """sha256 over the weights in ``folder``, the images they expect, and what their outputs are called."""
    digest = hashlib.sha256("".join(map(file_hash, weight_files(folder))).encode())
    digest.update((folder / PROCESSOR).read_bytes() if is_there(folder / PROCESSOR) else b"")
    digest.update(json.dumps(read_config(folder).get("id2label"), sort_keys=True).encode())
    return digest.hexdigest()


def file_hash(file: Path) -> str:
    """sha256 of ``file``, read again only where it has changed."""
    facts = file.stat()
    return _file_hash(file, facts.st_mtime_ns, facts.st_size)


@cache
def _file_hash(file: Path, changed: int, size: int) -> str:  # noqa: ARG001 (a file of another time is another)
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
