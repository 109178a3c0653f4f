"""How a training went, epoch by epoch, as plain numbers. No torch here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FALL = 0.2
"""Fall of PGD accuracy below its best, FGSM's staying up, that is a collapse (Wong et al. 2020)."""
GAP = 0.4
"""By how much FGSM must overstate accuracy where PGD accuracy never rose.

In honest trainings it is 0.05 to 0.15 at usual eps,
and stayed under 0.31 at the largest from which digits could still be learnt."""


@dataclass(frozen=True)
class Epoch:
    """One epoch: its mean training loss and, in adversarial training, accuracies on held-out training images.

    ``clean``, under one step (``fgsm``) and under PGD-10 (``pgd``), both at the full eps, whatever ``eps``
    was trained at.
    """

    loss: float
    eps: float | None = None
    clean: float | None = None
    fgsm: float | None = None
    pgd: float | None = None

    def __str__(self) -> str:
        if self.clean is None or self.pgd is None:
            return f"loss {self.loss:.3f}"
        return f"loss {self.loss:.3f}, held out: clean {100 * self.clean:.0f} %, PGD {100 * self.pgd:.0f} %"


Progress = Callable[[int, int, Epoch], None]
"""Called after each epoch with (epochs done, epochs in all, the epoch); the two are equal at the end."""


@dataclass(frozen=True)
class Robust:
    """Adversarial ``method`` in ``norm`` at ``eps``: accuracies on ``held_out`` training images, by epoch.

    ``trained_at`` is each epoch's eps. ``kept`` is the epoch (from 1) whose weights stayed, ``collapsed`` the
    first in which training had collapsed, if it did.
    """

    method: str
    norm: str
    eps: str
    held_out: int
    trained_at: tuple[float, ...]
    clean: tuple[float, ...]
    fgsm: tuple[float, ...]
    pgd: tuple[float, ...]
    kept: int
    collapsed: int | None = None

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "Robust":
        """What was written as ``fields``, with JSON's lists as tuples. Raises TypeError for other fields."""
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
        }
        return cls(**plain)

    def note(self) -> str | None:
        """A sentence on the collapse; None where there was none."""
        if self.collapsed is None:
            return None
        at, stay = self.collapsed - 1, self.kept - 1
        return (
            f"{self.method} training at eps {self.eps} collapsed in epoch {self.collapsed} (catastrophic"
            f" overfitting): on {self.held_out} held-out images it withstood one step on"
            f" {100 * self.fgsm[at]:.0f} % and PGD on {100 * self.pgd[at]:.0f} %; the weights are those of"
            f" epoch {self.kept} ({100 * self.fgsm[stay]:.0f} % and {100 * self.pgd[stay]:.0f} %)"
        )


@dataclass(frozen=True)
class History:
    """A whole training: the mean loss of each epoch, and what else is known of one that is adversarial."""

    losses: tuple[float, ...]
    robust: Robust | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user has to be told."""
        note = self.robust.note() if self.robust else None
        return (note,) if note else ()


def collapsed(epochs: Sequence[Epoch], full: float) -> int | None:
    """The first of ``epochs`` (from 1) where training had collapsed: one step no longer finds what PGD does.

    Asked of those that trained at the ``full`` eps. FGSM must leave at least FALL more than PGD, whose
    accuracy has fallen by FALL from its best; or GAP more, whatever was before.
    """
    best = 0.0
    for number, epoch in enumerate(epochs, start=1):
        at, fgsm, pgd = epoch.eps or 0.0, epoch.fgsm or 0.0, epoch.pgd or 0.0
        best = max(best, pgd)
        if at >= full and (fgsm - pgd >= GAP or min(fgsm, best) - pgd >= FALL):
            return number
    return None
