"""What things are called: a model, a unit of work, a cell.

Frozen, hashable, and the keys of every table in memory.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from bench.eps import eps_text


@dataclass(frozen=True, order=True)
class ModelId:
    """A model: its name in the suite, and the training seed."""

    name: str
    seed: int

    def __str__(self) -> str:
        return f"{self.name}/{self.seed}"

    def title(self, *, seeds: bool) -> str:
        """Its name in tables and sentences, with the training seed where there are several ``seeds``."""
        return f"{self.name} #{self.seed}" if seeds else self.name


@dataclass(frozen=True)
class AttackEps:
    """An attack, by its label in tables, at one eps."""

    attack: str
    eps: Fraction


@dataclass(frozen=True)
class UnitId:
    """A model under an attack through a library: what is run in one go, for all its eps."""

    model: ModelId
    attack: str
    library: str

    def __str__(self) -> str:
        return f"{self.model}/{self.attack}/{self.library}"


@dataclass(frozen=True)
class CellId:
    """What makes a cell the same in two runs: a unit at one eps, in the norm that the attack keeps to."""

    model: ModelId
    attack: str
    library: str
    norm: str
    eps: Fraction

    @cached_property
    def unit(self) -> UnitId:
        """The unit that it is a cell of."""
        return UnitId(self.model, self.attack, self.library)

    @cached_property
    def attack_eps(self) -> AttackEps:
        """Its attack and eps, whichever library carries it out."""
        return AttackEps(self.attack, self.eps)

    def __str__(self) -> str:
        return f"{self.unit}/{eps_text(self.eps)}"


@dataclass(frozen=True)
class AccuracyId:
    """A model's clean accuracy, which is compared beside its cells."""

    model: ModelId

    def __str__(self) -> str:
        return f"{self.model}/accuracy"


RowId = CellId | AccuracyId
"""What a row of a comparison is about."""
