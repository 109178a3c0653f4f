"""What an attack library is here: its names, and how faithfully it carries out the contract's attacks.

A library is one folder: its ``__init__`` declares it (without importing it), its translation says how each
attack is called, and its workarounds cover its defects, there and nowhere else. ``bench/attacks/registry.py``
has a line for it; another package registers its AttackLibrary under the entry point
``bench.attack_libraries``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Fidelity = Literal["related", "statistical", "exact"]
"""exact: bitwise what the attack is defined to give.

statistical: the same algorithm with another random stream or rounding. related: another algorithm for the
same threat model.
"""
FIDELITIES: tuple[Fidelity, ...] = ("related", "statistical", "exact")
"""From the loosest to the closest."""


@dataclass(frozen=True)
class Carried:
    """How a library carries out one attack in one norm.

    ``note`` says why it is only related, or what to use instead.
    """

    fidelity: Fidelity
    note: str = ""


@dataclass(frozen=True)
class AttackLibrary:
    """One attack library.

    Attributes:
        name: In suites, cells and files.
        title: In prose.
        distributions: What has to be installed. The version of the first is part of a cell's key; all are
            recorded.
        modules: Its top-level modules, whose log messages and warnings are none of the user's business.
        translation: The module that carries its attacks out: a ``bench.attacks.translation.Translation``.
        attacks: By "attack/norm", what it carries out.
        left_out: By "attack/norm", why something that it has is not carried out through it.
        install: The command that installs it.
        is_default: Whether suites that name no libraries run through it.

    """

    name: str
    title: str
    distributions: tuple[str, ...]
    modules: tuple[str, ...]
    translation: str
    attacks: Mapping[str, Carried]
    left_out: Mapping[str, str] = field(default_factory=dict)
    install: str = ""
    is_default: bool = False


def agreement(first: str, second: str) -> str:
    """How far two libraries can be expected to agree: as far as the less faithful of them.

    "single" agrees with none.
    """
    levels: tuple[str, ...] = ("single", *FIDELITIES)
    return min(first, second, key=levels.index)


def each(attack: str, *norms: str, fidelity: Fidelity, note: str = "") -> dict[str, Carried]:
    """The same row for ``attack`` in each of ``norms``."""
    return {f"{attack}/{norm}": Carried(fidelity, note) for norm in norms}
