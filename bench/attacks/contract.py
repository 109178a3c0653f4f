"""Every attack in every norm: what it sees of the classifier, what bounds it and what it costs.

No torch, and no library here. Which library carries out which of them, and how faithfully, stands in each
library's folder.
"""

from dataclasses import dataclass
from typing import Literal

Access = Literal["white-box", "score", "decision"]
"""What the attack sees of the classifier: its gradients, scores (logits), or only decisions (labels)."""
Budget = Literal["fixed", "minimum-norm"]


@dataclass(frozen=True)
class Contract:
    """One attack in one norm.

    ``cost`` is a sample's: gradients or, without any, queries; of a fixed budget, at each eps unless it says
    otherwise.
    """

    access: Access
    budget: Budget
    norm: str
    cost: str
    source: str


def _each(
    attack: str, norms: str, access: Access, budget: Budget, cost: str, source: str
) -> dict[str, Contract]:
    return {f"{attack}/{norm}": Contract(access, budget, norm, cost, source) for norm in norms.split()}


def _fixed(attack: str, norms: str, cost: str, source: str) -> dict[str, Contract]:
    return _each(attack, norms, "white-box", "fixed", cost, source)


def _minimum(attack: str, norms: str, cost: str, source: str) -> dict[str, Contract]:
    return _each(attack, norms, "white-box", "minimum-norm", cost, source)


ONCE = "1 gradient in all"
STEP = "1 gradient a step"

CONTRACTS: dict[str, Contract] = {
    **_fixed("fgsm", "linf l2 l1", ONCE, "Goodfellow et al. 2015"),
    **_fixed("bim", "linf l2", STEP, "Kurakin et al. 2017"),
    **_fixed("mi-fgsm", "linf l2", STEP, "Dong et al. 2018"),
    **_fixed("pgd", "linf l2 l1", STEP, "Madry et al. 2018"),
    **_fixed("apgd", "linf l2 l1", STEP, "Croce and Hein 2020"),
    **_fixed("arc", "linf l2", "candidates x members a step", "Dbouk and Shanbhag 2022"),
    **_minimum("deepfool", "l2 linf", "classes x steps", "Moosavi-Dezfooli et al. 2016"),
    **_minimum("cw", "l2", "searches x steps", "Carlini and Wagner 2017"),
    **_minimum("cw", "linf", "distances x consts x steps", "Carlini and Wagner 2017"),
    **_minimum("ead", "l1", "searches x steps", "Chen et al. 2018"),
    **_minimum("ddn", "l2", STEP, "Rony et al. 2019"),
    **_minimum("fmn", "linf l2 l1 l0", STEP, "Pintor et al. 2021"),
    **_minimum("newtonfool", "l2", STEP, "Jang et al. 2017"),
    **_minimum("brendel-bethge", "linf l2 l1 l0", STEP, "Brendel et al. 2019"),
    **_each("boundary", "l2", "decision", "minimum-norm", "1 query a step", "Brendel et al. 2018"),
    **_each("hopskipjump", "l2 linf", "decision", "minimum-norm", "evaluations x steps", "Chen et al. 2020"),
    **_each("geoda", "l2 linf", "decision", "minimum-norm", "given queries", "Rahmati et al. 2020"),
    **_each("zoo", "l2", "score", "minimum-norm", "2 x coordinates x steps", "Chen et al. 2017"),
    **_each("square", "linf l2", "score", "fixed", "1 query a step", "Andriushchenko et al. 2020"),
    **_each("simba", "l2", "score", "minimum-norm", "2 queries a step", "Guo et al. 2019"),
    **_each("salt-and-pepper", "l2", "decision", "minimum-norm", "1 query a step", "control"),
    **_each("noise", "linf l2", "decision", "fixed", "1 query a repeat", "control"),
    **_each("spatial", "spatial", "decision", "fixed", "shifts² x rotations", "Engstrom et al. 2019"),
    **_fixed("strong", "linf l2", "sum of its members", "Croce and Hein 2020"),
}
"""By "attack/norm"."""
