"""What a source of backbones offers: torchvision, timm, the user's own code, a package.

One object for all of a kind. To add one, write a subclass in a file of its own and name it in
``adapters.backbones.sources``, or in the entry points of a package, in the group ``bench.backbone_sources``.
Weights in files, random starts and training need nothing of a source.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from adapters.errors import ModelError, about
from adapters.preprocessing import Preprocessing
from adapters.spec import WEIGHT_FILES, BackboneSpec

if TYPE_CHECKING:
    from torch import nn

Spec = TypeVar("Spec", bound=BackboneSpec)
A_FILE = f"a file, which ends in {', '.join(WEIGHT_FILES)}"
SIZES = ("img_size", "image_size")
"""How constructors call the side of the images that they are made for."""


class BackboneSource(ABC):
    """Networks whose ``architecture`` begins with ``prefix``.

    Torch is imported when a network is made, not before.
    """

    prefix: ClassVar[str]
    is_place: ClassVar[bool] = False
    """Whether ``architecture`` only says where something lies: in keys ``content`` stands in its place."""
    runs_code: ClassVar[bool] = False
    """Whether code named by a suite makes the network: usable only where whoever starts the run allows it."""

    keeps_classes: ClassVar[bool] = False
    """Whether every network of this source has classes of its own, with names: an image shows how many."""

    frozen: ClassVar[bool] = False
    """Whether its networks stay as exported: nothing can be trained on them, nor an adapter put on."""
    gives_gradients: ClassVar[bool] = True
    """Whether its networks can be attacked through their gradients."""

    packages: ClassVar[tuple[str, ...]] = ()
    """Distributions, beside those that bench always needs, without which its networks cannot be made."""

    def takes(self, architecture: str) -> bool:
        """Whether ``architecture`` is one of this source's."""
        return architecture.startswith(self.prefix)

    @abstractmethod
    def check(self, spec: BackboneSpec) -> None:
        """Raise ModelError unless there is such a network, and its constructor takes ``spec.kwargs``."""

    @abstractmethod
    def make(self, spec: BackboneSpec, num_classes: int) -> "nn.Module":
        """The network at the start that torch's seed gives. One that has its own classes keeps them.

        Raises ModelError.
        """

    @about("weights")
    def fetch(self, spec: BackboneSpec) -> "nn.Module":
        """The network with the weights that go by the name ``spec.weights``, downloaded if need be.

        Raises ModelError.
        """
        raise ModelError(f"{spec.architecture} has no weights '{spec.weights}'; name {A_FILE}")

    def has_own_classes(self, spec: BackboneSpec) -> bool:  # noqa: ARG002
        """Whether for ``spec`` ``make`` gives a network of its own classes, whatever number is asked for."""
        return self.keeps_classes

    def brings_weights(self, spec: BackboneSpec) -> bool:  # noqa: ARG002 (for sources to say otherwise)
        """Whether ``make`` gives trained weights, so that a backbone without any named is not random."""
        return False

    def weights_content(self, spec: BackboneSpec) -> str | None:  # noqa: ARG002
        """A hash of the weights that ``make`` brings; None where it brings none."""
        return None

    def check_random(self, spec: BackboneSpec) -> None:  # noqa: B027 (most networks may start at random)
        """Raise ModelError if nobody can mean a random start by ``spec.architecture``."""

    def published(self, spec: BackboneSpec) -> Preprocessing | None:  # noqa: ARG002
        """What weights that go by a name, or that ``make`` brings, expect of an image; None if not known."""
        return None

    def of_architecture(self, spec: BackboneSpec) -> Preprocessing | None:  # noqa: ARG002
        """What goes with the network's name where a file of weights does not say; None if nothing does."""
        return None

    def classes(self, spec: BackboneSpec) -> tuple[str, ...]:  # noqa: ARG002
        """The names of the classes in the order of the outputs, as far as named weights tell; else empty."""
        return ()

    def notes(self, spec: BackboneSpec) -> tuple[str, ...]:  # noqa: ARG002
        """Sentences on how the weights that ``make`` brings were read."""
        return ()

    def fixed_size(self, spec: BackboneSpec) -> int | None:
        """Side in pixels of the only images the network takes; None if it takes others, or nobody knows."""
        return given_size(spec)

    def content(self, spec: BackboneSpec) -> str | None:  # noqa: ARG002
        """Hash of what beside ``spec`` and its weights makes another network (code, a configuration file)."""
        return None

    def files(self, spec: BackboneSpec) -> dict[str, Path]:  # noqa: ARG002
        """The files that ``content`` covers, by the names under which a run notes their checksums."""
        return {}

    def located(self, spec: Spec, folders: Sequence[Path]) -> Spec:  # noqa: ARG002
        """``spec`` with a path in its architecture as found in the first of ``folders`` that has it.

        Raises ModelError.
        """
        return spec


def given_size(spec: BackboneSpec) -> int | None:
    """Side in pixels of the square images for which ``spec``'s constructor arguments make the network."""
    for name in SIZES:
        given = spec.kwargs.get(name)
        sides = set(given) if isinstance(given, list) else {given}
        if len(sides) == 1 and isinstance(side := sides.pop(), int):
            return side
    return None
