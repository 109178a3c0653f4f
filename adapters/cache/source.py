"""Where models come from, as whoever attacks them sees it."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from adapters.cache.card import Card
from adapters.cache.recipe import Recipe

if TYPE_CHECKING:
    from adapters.classifier import Classifier


class ModelSource(Protocol):
    """Gives the model of each recipe: trained and cached (``adapters.cache.zoo``), or made by a script."""

    @property
    def device(self) -> str:
        """The torch device that models are loaded to."""
        ...

    def check(self, recipe: Recipe) -> None:
        """Raise ModelError if the model is unavailable or does not fit the images, before hours of work."""
        ...

    def card(self, recipe: Recipe) -> Card | None:
        """The card of the model if it is there already."""
        ...

    def ensure(self, recipe: Recipe) -> Card:
        """The card of the model, which is made first if need be."""
        ...

    def files(self, recipe: Recipe) -> dict[str, str]:
        """sha256 of each file of the model, by name."""
        ...

    def folder(self, recipe: Recipe) -> Path:
        """The folder of the model's files. Raises ModelError if it has none."""
        ...

    def load(self, recipe: Recipe, sha256: str) -> "Classifier":
        """The model of the content ``sha256``, in eval mode. Raises ModelError if it is another by now."""
        ...

    def unadapted(self, recipe: Recipe, sha256: str) -> "Classifier | None":
        """What the model of the content ``sha256`` was trained from, with a head of zeros.

        Raises ModelError as ``load`` does. None where it was trained from a random start, or not at all.
        """
        ...
