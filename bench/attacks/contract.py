"""What each library has of each attack, and how far the two implementations can be expected to agree. No torch here."""

from dataclasses import dataclass
from typing import Literal

Library = Literal["foolbox", "art"]
LIBRARIES: tuple[Library, ...] = ("foolbox", "art")
Carrier = Literal["foolbox", "art", "both"]
"""What carries out a unit: one library, or, for an ensemble, both."""
DISTRIBUTIONS: dict[str, str] = {"foolbox": "foolbox", "art": "adversarial-robustness-toolbox"}
"""The distribution of each library, whose version is part of a cell's key."""

Pairing = Literal["exact", "statistical", "related", "single"]
"""exact: the same adversarials. statistical: the same algorithm, another random stream or rounding.
related: the same threat model, another algorithm. single: one library only."""

Access = Literal["white-box", "score", "decision"]
"""What the attack sees of the classifier: its gradients, its scores (logits), or only its decisions (labels)."""


@dataclass(frozen=True)
class Contract:
    """One attack in one norm: who has it, how the pair compares, and what it needs and costs.

    ``cost`` is a sample's: gradients or, without any, queries; of a fixed budget, at each eps unless it says otherwise.
    """

    libraries: tuple[Library, ...]
    pairing: Pairing
    access: Access
    budget: Literal["fixed", "minimum-norm"]
    norms: tuple[str, ...]
    cost: str
    source: str
    note: str = ""
    """Why the pair is no cross-check, or only one library carries out what both have; or what to use instead."""

    @property
    def carriers(self) -> tuple[Carrier, ...]:
        """What the units of this attack run through."""
        return self.libraries


@dataclass(frozen=True)
class EnsembleContract(Contract):
    """An ensemble goes through both libraries in one unit."""

    @property
    def carriers(self) -> tuple[Carrier, ...]:
        """One unit for both libraries."""
        return ("both",)


FOOLBOX: tuple[Library, ...] = ("foolbox",)
ART: tuple[Library, ...] = ("art",)


def _fixed(libraries: tuple[Library, ...], pairing: Pairing, norm: str, cost: str, source: str, note: str = "") -> Contract:
    return Contract(libraries, pairing, "white-box", "fixed", (norm,), cost, source, note)


def _minimum(libraries: tuple[Library, ...], pairing: Pairing, norm: str, cost: str, source: str, note: str = "") -> Contract:
    return Contract(libraries, pairing, "white-box", "minimum-norm", (norm,), cost, source, note)


ONCE = "1 gradient in all"
STEP = "1 gradient a step"
L1_STEPS = "ART changes one value, and stalls where that meets the box; Foolbox changes all; fmn in l1 is far stronger"

CONTRACTS: dict[str, Contract] = {
    "fgsm/linf": _fixed(LIBRARIES, "exact", "linf", ONCE, "Goodfellow et al. 2015"),
    "fgsm/l2": _fixed(LIBRARIES, "statistical", "l2", ONCE, "Goodfellow et al. 2015"),
    "fgsm/l1": _fixed(LIBRARIES, "related", "l1", ONCE, "Goodfellow et al. 2015", L1_STEPS),
    "bim/linf": _fixed(LIBRARIES, "exact", "linf", STEP, "Kurakin et al. 2017"),
    "bim/l2": _fixed(LIBRARIES, "statistical", "l2", STEP, "Kurakin et al. 2017"),
    "mi-fgsm/linf": _fixed(LIBRARIES, "exact", "linf", STEP, "Dong et al. 2018"),
    "mi-fgsm/l2": _fixed(LIBRARIES, "statistical", "l2", STEP, "Dong et al. 2018"),
    "pgd/linf": _fixed(LIBRARIES, "exact", "linf", STEP, "Madry et al. 2018"),
    "pgd/l2": _fixed(LIBRARIES, "statistical", "l2", STEP, "Madry et al. 2018"),
    "pgd/l1": _fixed(LIBRARIES, "related", "l1", STEP, "Madry et al. 2018", L1_STEPS),
    **{
        f"apgd/{norm}": _fixed(ART, "single", norm, STEP, "Croce and Hein 2020")
        for norm in ("linf", "l2")
    },
    "apgd/l1": _fixed(ART, "single", "l1", STEP, "Croce and Hein 2020",
                      "weak: ART steps along all values and scales back, where APGD in l1 (Croce and Hein 2021) takes sparse "
                      "steps and projects onto ball and box together; use fmn in l1"),
    "deepfool/l2": _minimum(LIBRARIES, "statistical", "l2", "classes x steps",
                            "Moosavi-Dezfooli et al. 2016"),
    "deepfool/linf": _minimum(FOOLBOX, "single", "linf", "classes x steps",
                              "Moosavi-Dezfooli et al. 2016"),
    "cw/l2": _minimum(LIBRARIES, "related", "l2", "searches x steps",
                      "Carlini and Wagner 2017", "ART adds a line search"),
    "cw/linf": _minimum(ART, "single", "linf", "distances x consts x steps", "Carlini and Wagner 2017"),
    "ead/l1": _minimum(LIBRARIES, "related", "l1", "searches x steps", "Chen et al. 2018",
                       "where it fools, ART only shrinks the change; Foolbox goes on along the distance's gradient"),
    "ddn/l2": _minimum(FOOLBOX, "single", "l2", STEP, "Rony et al. 2019"),
    **{
        f"fmn/{norm}": _minimum(FOOLBOX, "single", norm, STEP, "Pintor et al. 2021")
        for norm in ("linf", "l2", "l1", "l0")
    },
    "newtonfool/l2": _minimum(ART, "single", "l2", STEP, "Jang et al. 2017",
                                 "Foolbox's squares its norms and divides by zero"),
    **{
        f"brendel-bethge/{norm}": _minimum(FOOLBOX, "single", norm, STEP, "Brendel et al. 2019", "ART's mixes up a batch")
        for norm in ("linf", "l2", "l1", "l0")
    },
    "boundary/l2": Contract(LIBRARIES, "related", "decision", "minimum-norm", ("l2",), "1 query a step", "Brendel et al. 2018",
                            "ART adapts its step sizes after 10 proposals, Foolbox from a running share of successes"),
    **{
        f"hopskipjump/{norm}": Contract(LIBRARIES, "statistical", "decision", "minimum-norm", (norm,),
                                        "evaluations x steps", "Chen et al. 2020")
        for norm in ("l2", "linf")
    },
    **{
        f"geoda/{norm}": Contract(ART, "single", "decision", "minimum-norm", (norm,), "given queries", "Rahmati et al. 2020")
        for norm in ("l2", "linf")
    },
    "zoo/l2": Contract(ART, "single", "score", "minimum-norm", ("l2",), "2 x coordinates x steps", "Chen et al. 2017"),
    **{
        f"square/{norm}": Contract(ART, "single", "score", "fixed", (norm,), "1 query a step",
                                   "Andriushchenko et al. 2020")
        for norm in ("linf", "l2")
    },
    "simba/l2": Contract(ART, "single", "score", "minimum-norm", ("l2",), "2 queries a step", "Guo et al. 2019"),
    "salt-and-pepper/l2": Contract(FOOLBOX, "single", "decision", "minimum-norm", ("l2",), "1 query a step", "control"),
    **{
        f"noise/{norm}": Contract(FOOLBOX, "single", "decision", "fixed", (norm,), "1 query a repeat", "control")
        for norm in ("linf", "l2")
    },
    "spatial/spatial": Contract(LIBRARIES, "related", "decision", "fixed", ("spatial",),
                                "shifts² x rotations", "Engstrom et al. 2019", "they interpolate pixels differently"),
    **{
        f"strong/{norm}": EnsembleContract(LIBRARIES, "single", "white-box", "fixed", (norm,),
                                           "sum of its members", "Croce and Hein 2020")
        for norm in ("linf", "l2")
    },
}  # fmt: skip
"""By "attack/norm"."""
