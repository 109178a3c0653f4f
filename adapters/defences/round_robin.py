"""Round-robin: members take turns."""

from typing import TYPE_CHECKING, Literal

from adapters.defences.base import RandomSwitch

if TYPE_CHECKING:
    from adapters.defences.draws import Draws


class RoundRobin(RandomSwitch):
    """The members answer in turn, query by query.

    Whose turn it is when an adversarial arrives is not in the attacker's hand: it is judged as one that draws
    among its members, each as likely.
    """

    defence: Literal["round-robin"] = "round-robin"

    def shares(self, count: int) -> tuple[float, ...]:
        """Equal shares."""
        return (1 / count,) * count

    def pick(self, count: int, draws: "Draws") -> int:
        """The one whose turn it is."""
        return draws.calls % count
