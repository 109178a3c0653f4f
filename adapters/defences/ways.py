"""The ways in which a defended model can be attacked by someone who knows the defence. No torch here."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from adapters.defences.base import Averaging, RandomSwitch, Switch
from adapters.defences.stack import Stack

Merge = Literal["mean-loss", "mean-probability", "mean-logits"]
"""What is attacked: all branches' mean cross-entropy, or that of their mean probabilities or mean logits."""
MERGES: tuple[Merge, ...] = ("mean-loss", "mean-probability", "mean-logits")


@dataclass(frozen=True)
class Way:
    """A way to attack a defended model: what is merged, over how many draws, all members or ``branch``."""

    name: str
    merge: Merge
    branch: int | None = None


ARC = Way("arc", "mean-logits")
"""Member by member, by an attack that is made for randomised ensembles."""
REPEAT = Way("repeat", "mean-probability")
"""How an attack that sees no gradients adapts to a random model: it asks again, and averages the answers."""


def ways_of(stack: Stack, *, cross_entropy: bool) -> Iterator[Way]:
    """Every way of passing back through ``stack``; none where its own gradient is all there is.

    The mean loss is that of attacks that raise the ``cross_entropy``.
    """
    through, combination = _through(stack), stack.combination
    each: Merge = "mean-loss" if cross_entropy else "mean-logits"
    if isinstance(combination, Switch | RandomSwitch):
        for merge in MERGES:
            if cross_entropy or merge != "mean-loss":
                yield Way("-".join([*through, merge]), merge)
        if through:  # else a branch is the member itself, whose adversarials are transferred
            for i, name in enumerate(stack.members):
                yield Way("-".join([*through, f"branch-{name}"]), each, i)
    elif through or (isinstance(combination, Averaging) and not combination.has_gradient):
        yield Way("-".join(through) or "stand-in", each)


def _through(stack: Stack) -> list[str]:
    """What is needed to pass back through the transforms."""
    bpda = ["bpda"] if any(not t.has_gradient for t in stack.transforms) else []
    return bpda + (["eot"] if stack.sampled else [])
