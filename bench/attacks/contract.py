"""What each library has of each attack, and how far the two implementations can be expected to agree. No torch here."""

from dataclasses import dataclass
from typing import Literal

Library = Literal["foolbox", "art"]
LIBRARIES: tuple[Library, ...] = ("foolbox", "art")
DISTRIBUTIONS: dict[str, str] = {"foolbox": "foolbox", "art": "adversarial-robustness-toolbox"}
"""The distribution of each library, whose version is part of a cell's key."""

Pairing = Literal["exact", "statistical", "related", "single"]
"""exact: the same adversarials. statistical: the same algorithm, another random stream or rounding.
related: the same threat model, another algorithm. single: one library only."""


@dataclass(frozen=True)
class Contract:
    """One attack's entry: who has it, how the pair compares, and what it needs and costs."""

    libraries: tuple[Library, ...]
    pairing: Pairing
    access: Literal["white-box", "score", "decision"]
    budget: Literal["fixed", "minimum-norm"]
    norms: tuple[str, ...]
    cost: str
    source: str


CONTRACTS: dict[str, Contract] = {
    "fgsm": Contract(LIBRARIES, "exact", "white-box", "fixed", ("linf",), "1 gradient for all eps", "Goodfellow et al. 2015"),
    "pgd": Contract(LIBRARIES, "exact", "white-box", "fixed", ("linf",), "1 gradient a step and eps", "Madry et al. 2018"),
}
