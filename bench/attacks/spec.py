"""Attacks as declared in a suite: the field's names for parameters, no library's."""

from typing import Annotated

from pydantic import Field

from bench.attacks.attack import Attack
from bench.attacks.black_box import Boundary, GeoDa, HopSkipJump, Noise, SaltAndPepper, SimBa, Spatial, Square, Zoo
from bench.attacks.contract import CONTRACTS, Contract
from bench.attacks.ensemble import Strong
from bench.attacks.min_norm import BrendelBethge, CarliniWagner, Ddn, DeepFool, Ead, Fmn, NewtonFool
from bench.attacks.white_box import Apgd, Bim, Fgsm, MiFgsm, Pgd

__all__ = [
    "Apgd", "Attack", "AttackSpec", "Bim", "Boundary", "BrendelBethge", "CarliniWagner", "Ddn", "DeepFool", "Ead", "Fgsm",
    "Fmn", "GeoDa", "HopSkipJump", "MiFgsm", "NewtonFool", "Noise", "Pgd", "SaltAndPepper", "SimBa", "Spatial", "Square",
    "Strong", "Zoo", "changes_with_eps", "classes_needed", "contract_of", "parameters",
]  # fmt: skip

AttackSpec = Annotated[
    Fgsm | Bim | MiFgsm | Pgd | Apgd
    | DeepFool | CarliniWagner | Ead | Ddn | Fmn | NewtonFool | BrendelBethge
    | Boundary | HopSkipJump | GeoDa | Zoo | Square | SimBa | SaltAndPepper | Noise | Spatial
    | Strong,
    Field(discriminator="attack"),
]  # fmt: skip
"""Any attack, told apart by its ``attack`` key."""


def contract_of(spec: Attack) -> Contract:
    """The contract's entry for ``spec``: attacks differ in it by norm."""
    return CONTRACTS[f"{spec.attack}/{spec.norm}"]


def classes_needed(spec: Attack) -> int:
    """The fewest classes that the loss of ``spec`` is defined for: DLR ranks three logits, targeted DLR four."""
    if isinstance(spec, Strong):
        return max(classes_needed(member) for _, member in spec.members)
    if isinstance(spec, Apgd) and spec.loss == "dlr":
        return 4 if spec.targeted else 3
    return 2


def changes_with_eps(spec: Attack) -> bool:
    """Whether each eps is an attack of its own: a minimum-norm attack answers once for all of them."""
    return contract_of(spec).budget == "fixed"


def parameters(spec: Attack) -> dict[str, object]:
    """All that changes the adversarials of ``spec`` at a given eps, for a cell's key."""
    return spec.model_dump(mode="json", exclude={"name", "eps", "libraries"})
