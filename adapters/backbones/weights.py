"""Weight files, read without running anything in them, put onto networks with nothing missing or unknown."""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from adapters.errors import ModelError
from adapters.files.guards import brief, check_zip, is_there

ZIPPED = b"PK\x03\x04"
PICKLED = (ZIPPED, b"\x80")
"""How a file of torch.save starts: a zip, or a pickle before torch 1.6."""
SHOWN = 6
"""Names that an error lists before it says how many more there are."""
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
"""What weights may be kept as: float32 holds the halves exactly, and float64 to rounding."""
SETTINGS = (
    "argparse.Namespace", "types.SimpleNamespace", "datetime.date", "datetime.datetime", "datetime.timedelta",
    "pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.PurePosixPath",
    "pathlib.PureWindowsPath", "pathlib._local.PosixPath", "pathlib._local.WindowsPath",
    "numpy.dtype", "numpy.ndarray",
    "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct",
)  # fmt: skip
"""What training scripts keep beside weights: options, paths, times, best accuracies.

A ``_Setting`` takes their place.
"""


TABLES = (
    "lightning_fabric.utilities.data.AttributeDict", "lightning.fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict", "lightning.pytorch.utilities.parsing.AttributeDict",
)  # fmt: skip
"""What Lightning keeps hyperparameters in, some releases of it: read as plain dictionaries."""


class _Setting:
    """Stands for an object in a file that is not weights: holds nothing, and runs nothing of the object's."""

    def __new__(cls, *_: object, **__: object) -> "_Setting":
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def read_saved(file: Path) -> Any:
    """What ``file`` holds: safetensors, or what torch loads with weights_only.

    Raises ModelError if that is unsafe.
    """
    if not is_there(file):
        raise ModelError(f"{brief(file)}: no such weights file")
    try:
        return read_safetensors(file) if _is_safetensors(file) else _load_pickled(file)
    except UnpicklingError as error:
        raise ModelError(
            f"{file}: refused, since loading it could run code ({torch_reason(error)}); save the plain state"
            " dict instead, best with safetensors.torch.save_file(model.state_dict(), ...); if it is one, it"
            " is damaged: copy it again"
        ) from None
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001 (a damaged pickle fails in every way that its reader can)
        raise ModelError(
            f"{file}: not a whole weights file ({torch_reason(error)}); copy or download it again if it is"
            " whole elsewhere"
        ) from None


def read_safetensors(file: Path) -> dict[str, Tensor]:
    """The tensors in ``file``, by name. Raises ModelError if it is damaged, or anything but safetensors."""
    try:
        return load_file(file)
    except SafetensorError as error:
        raise ModelError(
            f"{file}: not a whole safetensors file ({error}); copy or download it again if it is whole"
            " elsewhere"
        ) from None


def _is_safetensors(file: Path) -> bool:
    """Whether ``file`` is safetensors, whatever it is called; what cannot be told is what its name says."""
    start = _start(file, 9)
    return start.endswith(b"{") or (file.suffix == ".safetensors" and not start.startswith(ZIPPED))


def _start(file: Path, size: int) -> bytes:
    with file.open("rb") as stream:
        return stream.read(size)


def _load_pickled(file: Path) -> Any:
    start = _start(file, 4)
    if start and not start.startswith(PICKLED):
        raise ModelError(
            f"{file}: not a weights file: it starts with {start!r}; perhaps an error page or a Git-LFS"
            " pointer"
        )
    if start == ZIPPED:
        check_zip(file)
    harmless: list[Any] = [*((_Setting, name) for name in SETTINGS), *((dict, name) for name in TABLES)]
    with torch.serialization.safe_globals(harmless), file.open("rb") as stream:
        return torch.load(
            stream, map_location="cpu", weights_only=True
        )  # a stream, since torch goes by a path's suffix


def torch_reason(error: Exception) -> str:
    """What torch found, without its advice to load the file all the same."""
    found = re.search(r"(Unsupported|Trying to load|Cannot use) .*", str(error))
    said = found[0] if found else str(error).partition("\n")[0]
    return re.split(r"\.? (?:Please use|In PyTorch) ", said)[0].rstrip(".") or type(error).__name__


def content_hash_of(file: Path) -> str:
    """sha256 of the bytes of ``file``. Raises ModelError if there is none."""
    if not is_there(file):
        raise ModelError(f"{brief(file)}: no such file")
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def save_weights(network: nn.Module, file: Path, metadata: dict[str, str] | None = None) -> None:
    """Write the state dict of ``network`` as safetensors; a tensor of several names is written under each."""
    seen: set[int] = set()
    state = {}
    for name, tensor in network.state_dict().items():
        known = tensor.untyped_storage().data_ptr()
        state[name] = (
            tensor.clone(memory_format=torch.contiguous_format) if known in seen else tensor.contiguous()
        )
        seen.add(known)
    save_file(state, file, metadata)


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], what: str) -> tuple[str, ...]:
    """Put ``state`` onto ``network``; returns what was rounded, as sentences.

    Raises ModelError listing what is missing, what is left over, which shapes or kinds of number differ, and
    what is not finite or, where the network uses one tensor under several names, not equal under them.
    """
    wanted = network.state_dict()
    problems = mismatches(wanted, state)
    if not problems:
        problems = unusable(wanted, state)
    if problems:
        raise ModelError(f"{what} does not fit this network; {listed(problems)}")
    put(network, state)
    return rounded(state, what)


Problems = dict[str, list[str]]
"""What is wrong, and the names of which."""


def listed(problems: Problems) -> str:
    """``problems`` in one line."""
    return "; ".join(f"{kind}: {some(names)}" for kind, names in problems.items())


def mismatches(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> Problems:
    """Where the names and shapes of ``state`` are not those of ``wanted``."""
    shapes = [
        f"{k} is {_shape(state[k])}, not {_shape(v)}"
        for k, v in wanted.items()
        if k in state and state[k].shape != v.shape
    ]
    problems = {
        "missing": [name for name in wanted if name not in state],
        "unknown": [name for name in state if name not in wanted],
        "of another shape": shapes,
    }
    return {kind: names for kind, names in problems.items() if names}


def unusable(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> Problems:
    """Where ``state``, of the names and shapes of ``wanted``, holds no numbers that can stand there."""
    kinds = [
        f"{name} is {kind}" for name, tensor in state.items() if (kind := _wrong_kind(tensor, wanted[name]))
    ]
    if kinds:
        return {"not plain numbers of the kind that the network has": kinds}
    broken = [name for name, tensor in state.items() if not _as_finite(tensor, wanted[name])]
    problems = {
        "not finite (NaN or infinity)": broken,
        "one tensor here, but different ones there": _torn(wanted, state),
    }
    return {kind: names for kind, names in problems.items() if names}


def _wrong_kind(given: Tensor, wanted: Tensor) -> str:
    """What ``given`` is, if not a plain tensor of numbers that ``wanted`` takes losslessly; else nothing."""
    if (
        given.is_meta
        or given.is_quantized
        or given.layout != torch.strided
        or type(given) not in (Tensor, nn.Parameter)
    ):
        meta = "a meta tensor, without values" if given.is_meta else ""
        quantised = "quantised, to be dequantised first" if given.is_quantized else ""
        return meta or quantised or f"a {type(given).__name__} of {_short(given.layout)}"
    if given.dtype == wanted.dtype or (given.dtype in FLOATS and wanted.dtype in FLOATS):
        return ""
    whole = not (wanted.is_floating_point() or wanted.is_complex() or given.is_complex())
    if whole and bool((given.to(wanted.dtype).to(given.dtype) == given).all()):
        return ""
    return f"{_short(given.dtype)}, not {_short(wanted.dtype)}"


def equal(a: Tensor, b: Tensor) -> bool:
    """Whether ``a`` and ``b`` are plain tensors of the same kind, shape and values."""
    return a.dtype == b.dtype and not (_wrong_kind(a, b) or _wrong_kind(b, a)) and torch.equal(a, b)


def _as_finite(given: Tensor, wanted: Tensor) -> bool:
    """Whether ``given`` is finite as ``wanted`` will hold it.

    The same infinity as in the network itself (a mask) is allowed.
    """
    if not given.is_floating_point():
        return True
    held = given.detach().to(wanted.dtype)
    return bool((held.isfinite() | (held == wanted)).all())


def _torn(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """Pairs of names that are one tensor in the network, and have different values in ``state``."""
    torn, first = [], dict[object, str]()
    for name, tensor in wanted.items():
        other = first.setdefault(same_tensor(name, tensor), name)
        if other != name and not torch.equal(state[other], state[name]):
            torn.append(f"{other} and {name}")
    return torn


def same_tensor(name: str, tensor: Tensor) -> object:
    """Equal for two entries of a state dict that are one and the same tensor."""
    return (
        (tensor.data_ptr(), tensor.shape, tensor.stride()) if tensor.numel() and not tensor.is_meta else name
    )


def rounded(state: Mapping[str, Tensor], what: str) -> tuple[str, ...]:
    """Says so where float64 weights in ``state`` are not what float32 holds of them."""
    doubles = [tensor for tensor in state.values() if tensor.dtype == torch.float64]
    exact = all(torch.equal(tensor, tensor.float().double()) for tensor in doubles)
    return () if exact else (f"{what}: its float64 weights are rounded to float32",)


def put(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load ``state`` as of the layers' present versions: files hold none, and mnasnet's insist on theirs."""
    whole = OrderedDict(state)
    whole._metadata = network.state_dict()._metadata  # type: ignore[attr-defined]
    network.load_state_dict(whole)


def _short(kind: object) -> str:
    return str(kind).removeprefix("torch.")


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"


def some(names: list[str]) -> str:
    """The first of ``names``, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(brief(name) for name in names[:SHOWN]) + more
