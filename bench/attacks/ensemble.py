"""Ensembles: several attacks as a cascade, each through the first library that has it.

Only survivors meet the next one.
"""

from collections.abc import Sequence
from typing import Literal

from bench.attacks.attack import Attack, Carry, Count
from bench.attacks.black_box import Square
from bench.attacks.min_norm import Fmn
from bench.attacks.white_box import Apgd


class Strong(Attack):
    """APGD on cross-entropy, targeted APGD on DLR, FMN, Square: the worst case per sample, after AutoAttack.

    (Croce and Hein 2020; FMN, Pintor et al. 2021, stands in for FAB.) Needs at least 4 classes, as the
    targeted DLR loss does. It is the worst case over the grid too, unless ``grid`` is each.
    """

    grid: Carry = "carry"
    attack: Literal["strong"]
    norm: Literal["linf", "l2"] = "linf"
    steps: Count = 100
    targets: Count = 9
    queries: Count = 1000

    @property
    def members(self) -> Sequence[Attack]:
        """The cascade, cheapest first."""
        return (
            Apgd(attack="apgd", norm=self.norm, loss="ce", steps=self.steps),
            Fmn(attack="fmn", norm=self.norm, steps=self.steps),
            Apgd(
                attack="apgd",
                norm=self.norm,
                loss="dlr",
                targeted=True,
                restarts=self.targets,
                steps=self.steps,
            ),
            Square(attack="square", norm=self.norm, steps=self.queries),
        )
