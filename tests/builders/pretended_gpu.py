"""A fake GPU: ``python -m tests.builders.pretended_gpu run SUITE --device pretended`` is ``bench`` on it.

Its tensors say that they lie on another device and are computed on the CPU, to the same bits. As with CUDA,
operations refuse tensors of two devices, and numpy those that are not on the CPU. Unlike CUDA it has no
autocast and no random generator.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

NAME = "pretended"
COPY = torch.ops.aten.copy_.default
DEVICE_CHANGES = {torch.ops.aten._to_copy.default, COPY}
INDEXES = {torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default, torch.ops.aten.index_put.default}
"""As in CUDA, indices may come from the CPU."""


class Pretended(Tensor):
    """A tensor on the pretended GPU; ``held`` has its values."""

    held: Tensor

    @staticmethod
    def __new__(cls, real: Tensor) -> "Pretended":
        wrapped: Pretended = Tensor._make_wrapper_subclass(
            cls, real.size(), strides=real.stride(), storage_offset=real.storage_offset(), dtype=real.dtype,
            device=torch.device(NAME, 0),
        )  # fmt: skip
        wrapped.held = real
        return wrapped

    def __repr__(self) -> str:  # type: ignore[override]
        return f"{NAME} {self.held!r}"

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.held.__reduce_ex__(protocol)  # type: ignore[no-untyped-call]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return carry_out(func, args, kwargs or {})


Pretended.__module__ = "torch"  # eagerpy asks there whose tensor it is


def carry_out(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """What ``func`` gives, on the device where it belongs. Raises RuntimeError if its tensors lie on two."""
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    ours = [t for t in tensors if isinstance(t, Pretended)]
    device = kwargs.get("device")
    if ours and func not in DEVICE_CHANGES:
        _refuse_mixture(func, args, [t for t in tensors if not isinstance(t, Pretended)])
    if device is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    found = func(*tree_map(_held, args), **tree_map(_held, kwargs))
    if func is COPY or (args and isinstance(args[0], Pretended) and found is args[0].held):
        return args[0]  # written in place
    there = bool(ours) if device is None else torch.device(device).type == NAME
    return tree_map(_pretend, found) if there else found


def _refuse_mixture(func: Any, args: Any, elsewhere: list[Tensor]) -> None:
    mixed = any(t.dim() > 0 for t in elsewhere)
    if mixed and not (func in INDEXES and isinstance(args[0], Pretended)):
        raise RuntimeError(
            f"{func}: expected all tensors to be on the same device, but found {NAME}:0 and cpu"
        )


def _held(value: Any) -> Any:
    return value.held if isinstance(value, Pretended) else value


def _pretend(value: Any) -> Any:
    return Pretended(value) if isinstance(value, Tensor) and not isinstance(value, Pretended) else value


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Also those without a tensor of ours: they may make one."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return carry_out(func, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """What torch does before any operation is dispatched: tensors made of numbers, numbers of tensors,
    indices of lists."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and (device := kwargs.pop("device", None)) is not None:
            return func(*args, **kwargs).to(device)
        if func is Tensor.tolist:
            return args[0].cpu().tolist()
        if func in (Tensor.__getitem__, Tensor.__setitem__):
            index = args[1]
            args = (
                args[0],
                tuple(map(_as_index, index)) if isinstance(index, tuple) else _as_index(index),
                *args[2:],
            )
        return func(*args, **kwargs)


def _as_index(index: Any) -> Any:
    return torch.from_numpy(np.asarray(index)) if isinstance(index, list | range | np.ndarray) else index


class _Module(backend_registration._DummyBackendModule):
    """What torch asks a device's module for. All is drawn on the CPU."""

    def get_rng_state(self, _: Any = None) -> Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, *_: Any) -> None:
        pass

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


class _Inference(torch.no_grad):
    """For torch.inference_mode, whose tensors cannot be wrapped; torch says as before whether it is on."""

    depth = 0

    def __enter__(self) -> None:
        _Inference.depth += 1
        super().__enter__()

    def __exit__(self, *error: Any) -> None:
        _Inference.depth -= 1
        super().__exit__(*error)


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """The device is there.

    To be entered once, before ``bench`` is imported: torch counts its devices once.
    """
    vars(torch).update(inference_mode=_Inference, is_inference_mode_enabled=lambda: _Inference.depth > 0)
    from art.estimators.classification import PyTorchClassifier

    backend_registration._setup_privateuseone_for_python_backend(NAME, _Module())
    # ART knows cpu and cuda, and takes the CPU where there is no CUDA: here it is where its model is.
    PyTorchClassifier._device = property(lambda art: next(art._model.parameters()).device, lambda *_: None)
    with _Operations(), _Functions():  # type: ignore[no-untyped-call]
        yield


if __name__ == "__main__":
    with pretended_gpu():
        from bench.cli.commands import main

        sys.exit(main())
