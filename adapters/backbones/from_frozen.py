"""Exported networks: torchscript/FILE, onnx/FILE, and onnx2torch/FILE, which is onnx with gradients."""

import importlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from adapters.backbones.model_folder import file_hash
from adapters.backbones.source import BackboneSource, Spec
from adapters.errors import ModelError, about
from adapters.files.guards import brief, is_there
from adapters.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from adapters.spec import BackboneSpec, OwnCode

if TYPE_CHECKING:
    from torch import nn

    from adapters.backbones.frozen import OnnxNetwork

EXTRA = "pip install 'lora-robustness-bench[onnx]'"
BLACK_BOX = (
    "ONNX Runtime computes no gradients: only black-box attacks apply, which find less than white-box"
    " ones would; its robust accuracy is an upper bound"
)


class Frozen(BackboneSource):
    """A file that is the whole network, with its weights and its classes."""

    is_place = True
    keeps_classes = True
    frozen = True

    def check(self, spec: BackboneSpec) -> None:
        """Raise ModelError unless the file is there, and what reads it is installed."""
        self.check_installed()
        for name in ("kwargs", "weights"):
            if getattr(spec, name):
                with about(name):
                    raise ModelError(
                        f"{name}: the file {self.file(spec).name} is the whole network; leave {name} out"
                    )

    @about("architecture")
    def check_installed(self) -> None:
        """Raise ModelError, which names the extra, where a package is missing."""
        for package in self.packages:
            try:
                importlib.import_module(package)
            except ModuleNotFoundError as error:
                if error.name != package:
                    raise
                raise ModelError(f"{package} is not installed; {EXTRA}") from None

    def brings_weights(self, spec: BackboneSpec) -> bool:  # noqa: ARG002
        """They are in the file."""
        return True

    def weights_content(self, spec: BackboneSpec) -> str:
        """Of the file."""
        return self.content(spec)

    def content(self, spec: BackboneSpec) -> str:
        """Of the file, and by what it is read."""
        return self.prefix + file_hash(self.file(spec))

    def located(self, spec: Spec, folders: Sequence[Path]) -> Spec:
        """``spec`` with its file as found."""
        name = spec.architecture.removeprefix(self.prefix)
        found = next((file for place in folders if is_there(file := place / Path(name).expanduser())), None)
        if found is None:
            looked = " and ".join(dict.fromkeys(str(place.absolute()) for place in folders))
            with about("architecture"):
                raise ModelError(f"{brief(name)}: no such file; looked for it from {looked}")
        return spec.model_copy(update={"architecture": f"{self.prefix}{found.absolute()}"})

    @about("architecture")
    def file(self, spec: BackboneSpec) -> Path:
        """Where the network lies."""
        file = Path(spec.architecture.removeprefix(self.prefix))
        if not is_there(file):
            raise ModelError(f"{brief(file)}: no such file")
        return file


class TorchScript(Frozen):
    """What torch.jit.save wrote.

    To load it runs the code in it in TorchScript's interpreter, which can read and write files
    (``torch.from_file``, ``torch.save``) and never end, so it needs the same permission as the user's own
    code.
    """

    prefix = "torchscript/"
    runs_code = True

    def make(self, spec: BackboneSpec, num_classes: int) -> "nn.Module":  # noqa: ARG002 (it keeps its own classes)
        """The module. Raises ModelError unless whoever starts the run allows code."""
        from adapters.backbones.frozen import ScriptNetwork

        self.check(spec)
        with about("architecture"):
            if spec.code is None:
                raise ModelError(
                    f"{spec.architecture} is code, which runs only where whoever starts the run allows it"
                )
            return ScriptNetwork(self.file(spec))

    def located(self, spec: Spec, folders: Sequence[Path]) -> Spec:
        """``spec`` with its file as found, and leave to run what is in it."""
        found = super().located(spec, folders)
        file = self.file(found)
        return found.running(OwnCode(file.parent, file.stem, file.name))


class Onnx(Frozen):
    """An ONNX graph in ONNX Runtime: for black-box attacks."""

    prefix = "onnx/"
    packages: ClassVar[tuple[str, ...]] = ("onnxruntime",)
    gives_gradients: ClassVar[bool] = False

    def make(self, spec: BackboneSpec, num_classes: int) -> "nn.Module":  # noqa: ARG002
        """The graph."""
        self.check(spec)
        with about("architecture"):
            return _graph(self.file(spec), self.content(spec))

    def published(self, spec: BackboneSpec) -> Preprocessing:
        """The size of images that the graph is made for; of the rest it says nothing."""
        return Preprocessing(IMAGENET_MEAN, IMAGENET_STD, "assumed", self.fixed_size(spec))

    def fixed_size(self, spec: BackboneSpec) -> int | None:
        """The graph's."""
        self.check(spec)
        with about("architecture"):
            return _graph(self.file(spec), self.content(spec)).fixed_size()

    def notes(self, spec: BackboneSpec) -> tuple[str, ...]:  # noqa: ARG002
        """That its numbers are a bound."""
        return (BLACK_BOX,)


class Onnx2Torch(Onnx):
    """An ONNX graph as a module of PyTorch, with gradients."""

    prefix = "onnx2torch/"
    packages: ClassVar[tuple[str, ...]] = ("onnx", "onnx2torch", "onnxruntime")
    gives_gradients: ClassVar[bool] = True

    def make(self, spec: BackboneSpec, num_classes: int) -> "nn.Module":  # noqa: ARG002
        """The module."""
        from adapters.backbones.frozen import convert

        self.check(spec)
        with about("architecture"):
            return convert(self.file(spec))

    def notes(self, spec: BackboneSpec) -> tuple[str, ...]:  # noqa: ARG002
        """Nothing: it is as any other."""
        return ()


@cache
def _graph(file: Path, content: str) -> "OnnxNetwork":  # noqa: ARG001 (another content is another graph)
    from adapters.backbones.frozen import OnnxNetwork

    return OnnxNetwork(file)
