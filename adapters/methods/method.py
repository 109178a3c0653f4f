"""What one way to adapt a backbone does, beside its declaration.

To add one, write its declaration (a subclass of ``Adaptation``) and a subclass of ``Method`` in a file of
their own, and name the latter in ``adapters.methods.registry``, or in the entry points of a package, in the
group ``bench.adaptations``. Torch is imported when something is adapted, not before.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from adapters.spec import Adaptation

if TYPE_CHECKING:
    from torch import nn


class Method(ABC):
    """How networks are adapted as ``spec`` declares it.

    What a network that ``adapt`` returns has learnt is kept as its whole state dict, or by peft where it is a
    PeftModel. It is attacked as what its ``merge_and_unload`` gives, where it has one, as peft's models do.
    """

    spec: type[Adaptation]

    @abstractmethod
    def adapt(self, network: "nn.Module", spec: Any, seed: int) -> "nn.Module":
        """``network``, of which nothing is trainable, with what ``spec`` means trainable.

        Raises ModelError if it cannot be.
        """

    @abstractmethod
    def is_meant(self, network: "nn.Module", spec: Any, name: str) -> bool:
        """Whether the parameter ``name`` of the adapted ``network`` is to be trained."""

    def reshaped(self, network: "nn.Module") -> "nn.Module":
        """``network`` with the layers that ``adapt`` gives it, to hold a state dict of an adapted one."""
        return network

    def layers(self, network: "nn.Module", spec: Any) -> tuple[str, ...]:  # noqa: ARG002 (for methods to say otherwise)
        """The names of the layers of ``network`` that ``spec`` names as its targets.

        Raises ModelError for one that is none.
        """
        return ()

    def content(self, spec: Any) -> str | None:  # noqa: ARG002
        """A hash of what lies at ``spec.place``."""
        return None

    def notes(self, network: "nn.Module", spec: Any) -> tuple[str, ...]:  # noqa: ARG002
        """Sentences on what ``spec`` names, to be put on ``network``, for the reader of the numbers."""
        return ()

    def brings_head(self, network: "nn.Module", spec: Any) -> bool:  # noqa: ARG002
        """Whether what ``spec`` names holds a head for ``network``, though nothing is trained."""
        return False

    def base(self, network: "nn.Module", has: int, folder: str, wanted: int) -> "nn.Module | None":  # noqa: ARG002
        """``network``, of ``has`` outputs, as what lies in ``folder`` was made on it, for ``wanted``.

        None: it is as it is.
        """
        return None
