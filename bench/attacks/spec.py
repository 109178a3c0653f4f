"""Attacks as declared in a suite: the field's names for parameters, no library's."""

from typing import Annotated

from pydantic import Field

from bench.attacks.attack import Attack
from bench.attacks.black_box import (
    Boundary,
    GeoDa,
    HopSkipJump,
    Noise,
    SaltAndPepper,
    SimBa,
    Spatial,
    Square,
    Zoo,
)
from bench.attacks.contract import CONTRACTS, Contract
from bench.attacks.ensemble import Strong
from bench.attacks.min_norm import BrendelBethge, CarliniWagner, Ddn, DeepFool, Ead, Fmn, NewtonFool
from bench.attacks.registry import BOTH, Carrier, Library, having, libraries, problem
from bench.attacks.white_box import Apgd, Arc, Bim, Fgsm, MiFgsm, Pgd

__all__ = [
    "Apgd", "Arc", "Attack", "AttackSpec", "Bim", "Boundary", "BrendelBethge", "CarliniWagner", "Ddn",
    "DeepFool", "Ead", "Fgsm", "Fmn", "GeoDa", "HopSkipJump", "MiFgsm", "NewtonFool", "Noise", "Pgd",
    "SaltAndPepper", "SimBa", "Spatial", "Square", "Strong", "Zoo", "asks", "carriers_of", "carries",
    "changes_with_eps", "classes_needed", "contract_of", "key_of", "libraries_of", "library_of",
    "pairing_of", "parameters", "usable", "used_by",
]  # fmt: skip

AttackSpec = Annotated[
    Fgsm | Bim | MiFgsm | Pgd | Apgd | Arc
    | DeepFool | CarliniWagner | Ead | Ddn | Fmn | NewtonFool | BrendelBethge
    | Boundary | HopSkipJump | GeoDa | Zoo | Square | SimBa | SaltAndPepper | Noise | Spatial
    | Strong,
    Field(discriminator="attack"),
]  # fmt: skip
"""Any attack, told apart by its ``attack`` key."""


def key_of(spec: Attack) -> str:
    """Where ``spec`` stands in the contract: attacks differ in it by norm."""
    return f"{spec.attack}/{spec.norm}"


def contract_of(spec: Attack) -> Contract:
    """The contract's entry for ``spec``."""
    return CONTRACTS[key_of(spec)]


def libraries_of(spec: Attack) -> tuple[Library, ...]:
    """The libraries that have ``spec``; of an ensemble, those that it goes through."""
    if spec.members:
        used = {library_of(member) for member in spec.members}
        return tuple(name for name in libraries() if name in used)
    return having(key_of(spec))


def library_of(member: Attack) -> Library:
    """The library that an ensemble's ``member`` goes through: the first that has it, installed or not."""
    return having(key_of(member))[0]


def usable(spec: Attack) -> Library:
    """The first library that has ``spec`` and works here. Raises ImportError if none does: it says why."""
    reasons = {name: problem(name) for name in libraries_of(spec)}
    found = next((name for name, reason in reasons.items() if reason is None), None)
    if found is None:
        raise ImportError("; ".join(f"{name}: {reason}" for name, reason in reasons.items()))
    return found


def carriers_of(spec: Attack) -> tuple[Carrier, ...]:
    """What units of ``spec`` can run through: each library that has it.

    Of an ensemble, one unit runs through all of its libraries.
    """
    return (BOTH,) if spec.members else libraries_of(spec)


def used_by(spec: Attack, carrier: Carrier) -> tuple[Library, ...]:
    """The libraries that ``spec`` goes through where ``carrier`` carries it out."""
    return libraries_of(spec) if carrier == BOTH else (carrier,)


def pairing_of(spec: Attack, carrier: Carrier) -> str:
    """How far ``spec`` through ``carrier`` can agree with another library's.

    It is "single" where there is no other to agree with.
    """
    return "single" if spec.members else libraries()[carrier].attacks[key_of(spec)].fidelity


def classes_needed(spec: Attack) -> int:
    """The fewest classes that the loss of ``spec`` is defined for: DLR ranks 3 logits, targeted DLR 4."""
    if spec.members:
        return max(classes_needed(member) for member in spec.members)
    if isinstance(spec, Apgd) and spec.loss == "dlr":
        return 4 if spec.targeted else 3
    return 2


def asks(spec: Attack) -> bool:
    """Whether ``spec``, or any member of it, is a black-box attack, which goes by answers alone."""
    return any(contract_of(one).access != "white-box" for one in (spec, *spec.members))


def changes_with_eps(spec: Attack) -> bool:
    """Whether each eps is an attack of its own: a minimum-norm attack answers once for all of them."""
    return contract_of(spec).budget == "fixed"


def carries(spec: Attack) -> bool:
    """Whether what ``spec`` breaks at one eps is taken over at every larger one.

    Then no eps can be asked for by itself.
    """
    return spec.grid == "carry"


def parameters(spec: Attack) -> dict[str, object]:
    """All that changes the adversarials of ``spec`` at one eps by itself, for a cell's key."""
    return spec.model_dump(mode="json", exclude={"name", "eps", "libraries", "grid"})
