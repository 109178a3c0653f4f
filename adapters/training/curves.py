"""How a training went, epoch by epoch, as plain numbers. No torch here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COLLAPSE = 0.2
"""By how much FGSM must overstate the accuracy under PGD for a training to have collapsed.

Wong et al. 2020 stop where PGD accuracy falls by so much from one epoch to the next: FGSM then stays behind."""


@dataclass(frozen=True)
class Epoch:
    """One epoch: its mean training loss and, where training is adversarial, accuracies on held-out training images.

    ``clean``, under one step (``fgsm``) and under PGD-10 (``pgd``), both at the full eps, whatever ``eps`` was trained at.
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
"""Called after each epoch with (epochs done, epochs in all, the epoch); the two are equal once training ends."""


@dataclass(frozen=True)
class Robust:
    """An adversarial training of ``method`` in ``norm`` at ``eps``: accuracies on ``held_out`` training images, by epoch.

    ``trained_at`` is each epoch's eps. ``kept`` is the epoch (from 1) whose weights stayed, ``collapsed`` the first in which
    training had collapsed, if it did.
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
        plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
        return cls(**plain)

    def note(self) -> str | None:
        """A sentence on the collapse; None where there was none."""
        if self.collapsed is None:
            return None
        at, stay = self.collapsed - 1, self.kept - 1
        return (
            f"{self.method} training at eps {self.eps} collapsed in epoch {self.collapsed} (catastrophic overfitting): on "
            f"{self.held_out} held-out images it withstood one step on {100 * self.fgsm[at]:.0f} % and PGD on "
            f"{100 * self.pgd[at]:.0f} %; the weights are those of epoch {self.kept} ({100 * self.fgsm[stay]:.0f} % and "
            f"{100 * self.pgd[stay]:.0f} %)"
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
    """The first of ``epochs`` (from 1) in which training had collapsed: one step no longer finds what PGD does.

    Of those that trained at the ``full`` eps: there FGSM must leave 20 points more than PGD, and more than twice as much.
    """
    for number, epoch in enumerate(epochs, start=1):
        at, fgsm, pgd = epoch.eps or 0.0, epoch.fgsm or 0.0, epoch.pgd or 0.0
        if at >= full and fgsm - pgd >= COLLAPSE and fgsm > 2 * pgd:
            return number
    return None
