"""What a defence is: a declaration that says what it does to images, or how it brings models together.

Your own is a subclass of ``Transform``, ``Averaging``, ``Switch`` or ``RandomSwitch`` with a literal
``defence``, and a line in ``registry``.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from adapters.declaration import Declaration

if TYPE_CHECKING:
    from torch import Tensor

    from adapters.defences.draws import Draws

    Ask = Callable[[int, Tensor], Tensor]
    """The logits of a member, by its position, for images."""


class Defence(Declaration):
    """The base of all defences."""

    defence: str
    random: ClassVar[bool] = False
    """Whether it may answer the same image in more than one way."""


class Transform(Defence):
    """Changes an image before the model sees it."""

    has_gradient: ClassVar[bool] = False
    """Whether the gradient of ``apply`` itself is of use.

    Else an adaptive attack passes back through ``stand_in``.
    """

    def apply(self, x: "Tensor", draws: "Draws") -> "Tensor":
        """``x`` (N x 3 x H x W in [0, 1]) as the model sees it. What is random is drawn from ``draws``."""
        raise NotImplementedError

    def stand_in(self, x: "Tensor") -> "Tensor":
        """What an adaptive attack passes back through instead (BPDA): smooth, and near ``apply``.

        By default ``x`` itself.
        """
        return x


class Averaging(Defence):
    """One answer out of those of all members."""

    @property
    def has_gradient(self) -> bool:
        """Whether the gradient of ``merge`` itself is of use."""
        return True

    def merge(self, logits: "Tensor") -> "Tensor":
        """Logits (N x classes) out of the members' (members x N x classes)."""
        raise NotImplementedError

    def stand_in(self, logits: "Tensor") -> "Tensor":
        """What an adaptive attack passes back through instead, where ``merge`` has no gradient."""
        return self.merge(logits)


class Switch(Defence):
    """Each image is answered by the member that the image itself chooses."""

    members: ClassVar[int | None] = None
    """How many members it switches between; None: any number."""
    extra_passes: ClassVar[int] = 0
    """Passes that the choice takes beside one through each member."""

    def choose(self, x: "Tensor", logits: "Tensor", ask: "Ask") -> "Tensor":
        """Positions (N) of the members that answer ``x``, of which all say ``logits`` (members x N x C)."""
        raise NotImplementedError


class RandomSwitch(Defence):
    """Each query is answered by a member that is drawn."""

    random: ClassVar[bool] = True

    def shares(self, count: int) -> tuple[float, ...]:
        """The probability of each of ``count`` members."""
        raise NotImplementedError

    def pick(self, count: int, draws: "Draws") -> int:
        """The member of ``count`` that answers the next query."""
        raise NotImplementedError


Combination = Averaging | Switch | RandomSwitch


def members_problem(combination: Defence, members: Sequence[str]) -> str | None:
    """Why ``combination`` cannot bring these members together; None if it can."""
    wanted = getattr(combination, "members", None)
    if len(members) < 2:
        return f"{combination.defence} brings several models together; name them: 'of: [A, B]'"
    if wanted is not None and len(members) != wanted:
        return f"{combination.defence} switches between {wanted} models, but 'of' names {len(members)}"
    probabilities = getattr(combination, "probabilities", None)
    if probabilities is not None and len(probabilities) != len(members):
        return (
            f"{combination.defence} has {len(probabilities)} probabilities for {len(members)} models; give"
            " one for each"
        )
    return None
