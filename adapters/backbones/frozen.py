"""Networks as they were exported: TorchScript and ONNX.

What they do is fixed; nothing of them can be trained here.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from adapters.errors import ModelError
from adapters.files.guards import brief

FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
"""What an ONNX graph may take, in ONNX Runtime's words."""
EXPORT = "export it with one input, images N x 3 x H x W as floats"
SAID = 200
"""Letters of another library's reason that a message shows."""


class ScriptNetwork(nn.Module):
    """A TorchScript module, with the gradients of eager PyTorch.

    The interpreter's optimiser is off: it rounds otherwise once it has seen a few images.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        try:
            self.script: Any = torch.jit.load(str(file), map_location="cpu").eval()  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError, OSError) as error:
            raise ModelError(
                f"{file}: not a complete TorchScript archive ({_reason(error)}); save one with"
                " torch.jit.save,"
                " or name a state dict as weights of its architecture"
            ) from None
        for parameter in self.script.parameters():
            parameter.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """What the module gives for images ``x``."""
        _refuse_tracing(x)
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            logits: Tensor = self.script(x)
        return logits


class OnnxNetwork(nn.Module):
    """An ONNX graph in ONNX Runtime, on the CPU in one thread: it computes no gradients."""

    gives_gradients = False

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file, self.graph = str(file), file.read_bytes()
        self._session: tuple[int, Any] | None = None
        (taken,) = self._inputs()
        self.input, self.shape = taken.name, tuple(taken.shape)
        if taken.type not in FLOATS or len(self.shape) != 4:
            raise ModelError(f"{file}: takes {taken.type} of {self._said()}; {EXPORT}")
        if isinstance(self.shape[1], int) and self.shape[1] != 3:
            raise ModelError(f"{file}: takes images of {self._said()}; {EXPORT}, channels first")
        self.kind = FLOATS[taken.type]

    def forward(self, x: Tensor) -> Tensor:
        """The first output of the graph for images ``x``, in as large batches as it takes."""
        _refuse_tracing(x)
        images = x.detach().cpu().numpy().astype(self.kind)
        size = self.shape[0] if isinstance(self.shape[0], int) else len(images)
        parts = [self._run(images[i : i + size], size) for i in range(0, len(images), max(size, 1))]
        return torch.from_numpy(np.concatenate(parts)).to(x.device, torch.float32)

    def fixed_size(self) -> int | None:
        """The side in pixels of the square images that the graph takes; None where it takes others."""
        height, width = self.shape[2:]
        return height if isinstance(height, int) and height == width else None

    def _run(self, images: Any, size: int) -> Any:
        """The output for ``images``, filled up to a batch of ``size``, which some graphs are made for."""
        missing = size - len(images)
        whole = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)]) if missing else images
        return np.asarray(self._running().run(None, {self.input: whole})[0])[: len(images)]

    def _inputs(self) -> Any:
        found = self._running().get_inputs()
        if len(found) != 1:
            raise ModelError(f"{self.file}: takes {len(found)} inputs; {EXPORT}")
        return found

    def _said(self) -> str:
        return " x ".join(str(side) for side in self.shape)

    def _running(self) -> Any:
        """The graph in this process: one that was forked makes its own, as threads do not come along."""
        if self._session is None or self._session[0] != os.getpid():
            self._session = os.getpid(), _session(self.file, self.graph)
        return self._session[1]

    def __deepcopy__(self, memo: dict[int, object]) -> "OnnxNetwork":
        return self  # it holds nothing that could be changed

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_session": None}


def _refuse_tracing(x: object) -> None:
    """Raise TypeError if ``x`` is no tensor: of a network traced here, only what it calls would be left."""
    if isinstance(x, fx.Proxy):
        raise TypeError("an exported network is not traced again")


def _session(file: str, graph: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 (ONNX Runtime's errors share no base)
        raise ModelError(
            f"{file}: ONNX Runtime cannot load this graph ({_reason(error)}); export it again, as one file"
            " with its weights"
        ) from None


def convert(file: Path) -> nn.Module:
    """The ONNX graph in ``file`` as a module of PyTorch, by onnx2torch.

    Raises ModelError if it has no such form.
    """
    import onnx
    import onnx2torch

    try:
        made: nn.Module = onnx2torch.convert(onnx.load_model_from_string(file.read_bytes()))
    except Exception as error:  # noqa: BLE001 (an operator that is not known, a graph that is none)
        raise ModelError(
            f"{file}: onnx2torch cannot convert this graph ({_reason(error)}); export it for opset 17 or"
            " earlier, or attack it without gradients, as onnx/FILE"
        ) from None
    return made.eval().requires_grad_(False)


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return brief(lines[0])[:SAID]
