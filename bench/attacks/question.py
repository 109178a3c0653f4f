"""One question put to an attack, the same through whichever library answers it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from bench.attacks.shared import Shared

Craft = Callable[["Question"], Tensor]
"""A question -> its adversarial images, N x 3 x H x W in [0, 1].

A whole grid is asked one eps after another, in an
attack_session, with what these have in common in ``shared``; a minimum-norm attack is asked once for all of
them.
"""


@dataclass(frozen=True)
class Question:
    """Images to be attacked.

    ``x``: N x 3 x H x W in [0, 1]; ``y``: N labels; ``ids``: N sample ids, which with ``seed`` and
    ``restart`` fix all that is drawn at random; ``target``: N classes to aim at, or None; ``others``: N
    images that the classifier takes for another class than ``y``, where attacks on labels may start;
    ``shared``: what is the same at every eps that the question is put at.
    """

    x: Tensor
    y: Tensor
    ids: tuple[str, ...]
    eps: float
    seed: int = 0
    restart: int = 0
    target: Tensor | None = None
    others: Tensor | None = None
    shared: Shared = field(default_factory=Shared)

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device) -> "Question":
        """The same question with its tensors on ``device``."""
        target = None if self.target is None else self.target.to(device)
        others = None if self.others is None else self.others.to(device)
        return replace(self, x=self.x.to(device), y=self.y.to(device), target=target, others=others)

    def take(self, chosen: Sequence[int]) -> "Question":
        """The same question about the ``chosen`` samples."""
        index = list(chosen)
        if index == list(range(len(self))):
            return self
        ids = tuple(self.ids[i] for i in index)
        target = None if self.target is None else self.target[index]
        others = None if self.others is None else self.others[index]
        return replace(
            self, x=self.x[index], y=self.y[index], ids=ids, target=target, others=others, shared=Shared()
        )
