"""Weight files, read without running anything in them."""

import hashlib
import re
from collections import OrderedDict
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from adapters.errors import ModelError

PICKLED = (b"PK\x03\x04", b"\x80")
"""How a file of torch.save starts: a zip, or a pickle before torch 1.6."""
SHOWN = 6
"""Names that an error lists before it says how many more there are."""


def read_weights(file: Path) -> dict[str, Tensor]:
    """The state dict in ``file`` (safetensors, or what torch loads with weights_only). Raises ModelError if it is unsafe."""
    if not file.is_file():
        raise ModelError(f"{file}: no such weights file")
    try:
        state = load_file(file) if file.suffix == ".safetensors" else _load_pickled(file)
    except SafetensorError as error:
        raise ModelError(f"{file}: not a whole safetensors file ({error}); copy or download it again") from None
    except UnpicklingError as error:
        raise ModelError(
            f"{file}: refused, since loading it could run code ({torch_reason(error)}); save the plain state dict instead, "
            "best with safetensors.torch.save_file(model.state_dict(), ...); if it is one, it is damaged: copy it again"
        ) from None
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001 (a damaged pickle fails in every way that its reader can)
        raise ModelError(f"{file}: not a whole weights file ({torch_reason(error)}); copy or download it again") from None
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise ModelError(f"{file}: not a plain state dict (name -> tensor); save model.state_dict() alone")
    return state


def _load_pickled(file: Path) -> object:
    with file.open("rb") as stream:
        start = stream.read(4)
    if start and not start.startswith(PICKLED):
        raise ModelError(
            f"{file}: no weights file: it starts with {start!r}; perhaps an error page or a Git-LFS pointer; download it again"
        )
    return torch.load(file, map_location="cpu", weights_only=True)


def torch_reason(error: Exception) -> str:
    """What torch found, without its advice to load the file all the same."""
    found = re.search(r"(Unsupported|Trying to load|Cannot use) .*", str(error))
    said = found[0] if found else str(error).partition("\n")[0]
    return re.split(r"\.? (?:Please use|In PyTorch) ", said)[0].rstrip(".") or type(error).__name__


def content_hash_of(file: Path) -> str:
    """sha256 of the bytes of ``file``. Raises ModelError if there is none."""
    if not file.is_file():
        raise ModelError(f"{file}: no such file")
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load_strictly(network: nn.Module, state: dict[str, Tensor], what: str) -> None:
    """Put ``state`` onto ``network``; raises ModelError listing what is missing, what is left over, and which shapes differ."""
    wanted = network.state_dict()
    shapes = [
        f"{k} is {_shape(state[k])}, not {_shape(v)}" for k, v in wanted.items() if k in state and state[k].shape != v.shape
    ]
    problems = {
        "missing": [name for name in wanted if name not in state],
        "unknown": [name for name in state if name not in wanted],
        "of another shape": shapes,
    }
    listed = [f"{kind}: {some(names)}" for kind, names in problems.items() if names]
    if listed:
        raise ModelError(f"{what} does not fit this network; {'; '.join(listed)}")
    put(network, state)


def put(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Load ``state`` as of the layers' present versions: files hold none, and mnasnet's layers insist on theirs."""
    whole = OrderedDict(state)
    whole._metadata = network.state_dict()._metadata  # type: ignore[attr-defined]
    network.load_state_dict(whole)


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"


def some(names: list[str]) -> str:
    """The first of ``names``, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
