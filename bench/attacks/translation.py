"""A library's translation: from the neutral declaration of an attack to the library's own call."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

from torch import Tensor, nn

from bench import pulse
from bench.attacks.attack import Attack
from bench.attacks.question import Craft, Question
from bench.attacks.registry import Library, libraries


@dataclass(frozen=True)
class Opponent:
    """The attacked ``model``: images (N x ``input_shape``, in [0, 1]) to logits (N x ``num_classes``).

    ``draws``: whether it may answer the same question otherwise.
    """

    model: nn.Module
    input_shape: tuple[int, int, int]
    num_classes: int
    device: str
    draws: bool = False


class Translation(Protocol):
    """What the translation module of every library has."""

    def make_craft(self, spec: Attack, opponent: Opponent) -> Craft:
        """``spec`` against ``opponent``. Raises NotImplementedError if the library does not have it."""

    def make_predictor(self, opponent: Opponent) -> Callable[[Tensor], Tensor]:
        """Logits (N x classes) of images as the library asks ``opponent`` for them."""


def translation_of(library: Library) -> Translation:
    """The translation of ``library``, which is imported here and not before. Raises what that raises."""
    return cast("Translation", import_module(libraries()[library].translation))


def make_craft(spec: Attack, library: Library, opponent: Opponent) -> Craft:
    """``spec`` against ``opponent`` by ``library``. What it has answered counts in bench.pulse."""
    craft = translation_of(library).make_craft(spec, opponent)

    def counted(question: Question) -> Tensor:
        adversarial = craft(question)
        pulse.answered(len(question))
        return adversarial

    return counted
