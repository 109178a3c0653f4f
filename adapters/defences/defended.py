"""A model with defences around it, as whoever asks sees it; and its answer on average, where that varies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from adapters.classifier import Classifier, Predictions
from adapters.defences.base import Averaging, RandomSwitch, Switch, Transform
from adapters.defences.draws import Draws
from adapters.defences.stack import Stack
from adapters.precision import multiplying


@dataclass
class Passes:
    """Images passed through members, forward and backward, since they were last counted."""

    forwards: int = 0
    backwards: int = 0

    def count_backward(self, gradient: Tensor) -> None:
        """A hook of members' logits."""
        self.backwards += len(gradient)


@dataclass(frozen=True)
class Branches:
    """What may come out: ``logits`` (branches x N x classes), each with its probability among ``shares``."""

    logits: Tensor
    shares: tuple[float, ...]


Carried = Callable[[Transform, Tensor, Draws], Tensor]
"""How an image is carried through a transform."""


def exactly(transform: Transform, x: Tensor, draws: Draws) -> Tensor:
    """As it is: where it has no gradient, one of zero, rather than none that an attack could ask for."""
    seen = transform.apply(x, draws)
    return seen if seen.requires_grad or not x.requires_grad else seen + 0 * (x - x.detach())


@dataclass
class _State:
    """What a random model keeps between calls."""

    draws: Draws = field(default_factory=lambda: Draws([0]))


class Defended(Classifier):
    """``members`` with the defences of ``stack`` around them.

    Asked twice, a random model may answer otherwise.
    """

    def __init__(self, stack: Stack, members: Sequence[Classifier]) -> None:
        nn.Module.__init__(self)
        self.stack = stack
        self.members = nn.ModuleList(members)
        self.num_classes = members[0].num_classes
        self.passes = Passes()
        self._state = _State()

    def around(self, members: Sequence[Classifier]) -> "Defended":
        """The same defences around other members, such as faster forms of these."""
        return Defended(self.stack, members).eval()

    def asked_through(self, asker: Callable[[Classifier], Classifier]) -> "Defended":
        """The same defences around what stands for each member; these draw for themselves, counted here."""
        view = self.around([member.asked_through(asker) for member in self.inner])
        view.passes = self.passes
        return view

    @property
    def inner(self) -> list[Classifier]:
        """The members."""
        return [member for member in self.members if isinstance(member, Classifier)]

    def begin(self, seed: int) -> None:
        """From here on, draw from ``seed``: an attack that is carried out again meets the same draws."""
        self._state.draws = Draws([seed])

    @property
    def draws(self) -> Draws:
        """What the next call draws from."""
        return self._state.draws

    def forward(self, x: Tensor) -> Tensor:
        """Logits of ``x``, for one draw of what is random."""
        draws, combination = self.draws, self.stack.combination
        seen = self.transformed(x, draws, exactly)
        if isinstance(combination, RandomSwitch):
            logits = self.ask(combination.pick(len(self.members), draws), seen)
        else:
            logits = self.branches(seen).logits[0]
        draws.calls += 1
        return logits

    def transformed(self, x: Tensor, draws: Draws, carried: Carried) -> Tensor:
        """``x`` as the members see it."""
        for transform in self.stack.transforms:
            x = carried(transform, x, draws)
        return x

    def branches(self, seen: Tensor) -> Branches:
        """What may come out for images as the members see them."""
        combination, count = self.stack.combination, len(self.members)
        logits = torch.stack([self.ask(i, seen) for i in range(count)])
        if isinstance(combination, RandomSwitch):
            return Branches(logits, combination.shares(count))
        if isinstance(combination, Averaging):
            return Branches(combination.merge(logits)[None], (1.0,))
        if isinstance(combination, Switch):
            with torch.no_grad():
                chosen = combination.choose(seen, logits, self.ask)
            return Branches(logits[chosen, torch.arange(len(seen), device=seen.device)][None], (1.0,))
        return Branches(logits, (1.0,))

    def ask(self, i: int, seen: Tensor) -> Tensor:
        """The logits of the member ``i``. Passes are counted unless it is judged (in inference mode)."""
        logits: Tensor = self.members[i](seen)
        if not torch.is_inference_mode_enabled():
            self.passes.forwards += len(seen)
            if logits.requires_grad:
                logits.register_hook(self.passes.count_backward)  # type: ignore[no-untyped-call]
        return logits


@torch.inference_mode()
@multiplying("fp32")
def expected(model: Defended, x: Tensor, y: Tensor, seeds: Sequence[Sequence[int]]) -> Predictions:
    """What ``model`` says of ``x`` (N x 3 x H x W) with labels ``y`` on average, and how often it is right.

    ``seeds`` has a seed for each image, draw by draw: those of no attack. Without sampled defences the first
    is enough, and the expectation exact.
    """
    probabilities = right = torch.zeros(1, device=x.device, dtype=torch.float64)
    rounds = seeds if model.stack.sampled else seeds[:1]
    for of_each in rounds:
        found = model.branches(model.transformed(x, Draws(of_each), exactly))
        for share, logits in zip(found.shares, found.logits, strict=True):
            probabilities = probabilities + share * logits.double().softmax(1) / len(rounds)
            right = right + share * (logits.argmax(1) == y).double() / len(rounds)
    prob, pred = probabilities.float().max(1)
    prob_true = probabilities.float().gather(1, y[:, None])[:, 0]
    columns = (part.cpu().numpy() for part in (pred, prob, prob_true, right.clamp(max=1).float()))
    return Predictions(*columns)
