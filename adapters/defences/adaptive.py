"""Defended models as an attacker who knows the defence sees them: what libraries attack in their place.

Backward pass differentiable approximation and expectation over transformation: Athalye et al. 2018. What is
attacked here is a surrogate; its adversarials are judged on the defended model itself.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.defences.base import Averaging, RandomSwitch, Switch, Transform
from adapters.defences.defended import Branches, Defended, Passes
from adapters.defences.draws import Draws
from adapters.defences.ways import REPEAT, Merge, Way


def passing_back(transform: Transform, x: Tensor, draws: Draws) -> Tensor:
    """``transform`` itself forwards, and its stand-in backwards where it has no gradient of use."""
    if transform.has_gradient:
        return transform.apply(x, draws)
    smooth = transform.stand_in(x)
    return smooth + (transform.apply(x, draws) - smooth).detach()


class KnownDefence(Classifier):
    """``defended`` as whoever knows it meets it: it draws and counts as ``defended`` does."""

    def __init__(self, defended: Defended) -> None:
        nn.Module.__init__(self)
        self.defended = defended
        self.num_classes = defended.num_classes

    def asked_through(self, asker: Callable[[Classifier], Classifier]) -> "KnownDefence":
        """The same around what stands for ``defended``."""
        view = copy.copy(self)
        view._modules = {"defended": self.defended.asked_through(asker)}
        return view

    @property
    def passes(self) -> Passes:
        """What its members are asked."""
        return self.defended.passes

    def begin(self, seed: int) -> None:
        """From here on, draw from ``seed``."""
        self.defended.begin(seed)


class Adaptive(KnownDefence):
    """``defended`` as it is attacked in one ``way``, what is random averaged over ``draws``."""

    def __init__(self, defended: Defended, way: Way, draws: int) -> None:
        super().__init__(defended)
        self.way = way
        self.count = draws if defended.stack.sampled else 1

    def forward(self, x: Tensor) -> Tensor:
        """Logits whose cross-entropy has the gradient of the expectation."""
        found = [self._branches(x) for _ in range(self.count)]
        logits = torch.cat([branches.logits for branches in found])
        shares = logits.new_tensor([share / self.count for branches in found for share in branches.shares])
        return logits[0] if len(logits) == 1 else merged(logits, shares, self.way.merge)

    @property
    def shares(self) -> tuple[float, ...]:
        """The probability of each member."""
        combination = self.defended.stack.combination
        return (
            combination.shares(len(self.defended.inner)) if isinstance(combination, RandomSwitch) else (1.0,)
        )

    def ask_one(self, i: int, x: Tensor) -> Tensor:
        """Logits of the member ``i`` alone, what is random before it averaged."""
        own = self.defended
        each = [own.ask(i, own.transformed(x, own.draws, passing_back)) for _ in range(self.count)]
        return torch.stack(each).mean(0)

    def _branches(self, x: Tensor) -> Branches:
        own, combination = self.defended, self.defended.stack.combination
        seen = own.transformed(x, own.draws, passing_back)
        if self.way.branch is not None:
            return Branches(own.ask(self.way.branch, seen)[None], (1.0,))
        if not isinstance(combination, Switch | Averaging):
            return own.branches(seen)
        logits = torch.stack([own.ask(i, seen) for i in range(len(own.members))])
        if isinstance(combination, Averaging):
            return Branches(combination.stand_in(logits)[None], (1.0,))
        return Branches(logits, (1 / len(logits),) * len(logits))


class RepeatedQueries(KnownDefence):
    """``defended`` as attacked without gradients: each query asked ``repeats`` times, answers averaged."""

    def __init__(self, defended: Defended, repeats: int) -> None:
        super().__init__(defended)
        self.repeats = repeats

    def forward(self, x: Tensor) -> Tensor:
        """The logarithm of the mean probabilities."""
        logits = torch.stack([self.defended(x) for _ in range(self.repeats)])
        return merged(logits, logits.new_full((self.repeats,), 1 / self.repeats), "mean-probability")


def known(defended: Defended, way: Way, draws: int) -> Classifier:
    """``defended`` as attacked in ``way`` by whoever knows it; what is random is averaged over ``draws``."""
    return RepeatedQueries(defended, draws) if way == REPEAT else Adaptive(defended, way, draws)


def merged(logits: Tensor, shares: Tensor, merge: Merge) -> Tensor:
    """One set of logits (N x classes) for all branches (B x N x classes), each with its share (B)."""
    if merge == "mean-logits":
        return (shares[:, None, None] * logits).sum(0)
    if merge == "mean-probability":
        return _log_mean(logits, shares)
    mean: Tensor = _MeanLoss.apply(logits, shares)
    return mean


def _log_mean(logits: Tensor, shares: Tensor) -> Tensor:
    return (logits.log_softmax(2) + shares.log()[:, None, None]).logsumexp(0)


class _MeanLoss(torch.autograd.Function):
    """The logarithm of the mean probabilities; backwards, the gradient of the mean cross-entropy.

    No function of C logits has the mean cross-entropy as its own. But that of the gradient that comes in,
    which is a (softmax - onehot y), tells y and a; each branch is given a (its own softmax - onehot y) times
    its share.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, shares: Tensor) -> Tensor:
        mean = _log_mean(logits, shares)
        ctx.save_for_backward(logits, shares, mean)
        return mean

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        logits, shares, mean = ctx.saved_tensors
        (gradient,) = gradients
        probabilities = mean.softmax(1)
        lowest = gradient.amin(1, keepdim=True)
        y = torch.where(gradient == lowest, probabilities, -1).argmax(1, keepdim=True)
        others = 1 - torch.zeros_like(gradient).scatter(1, y, 1)
        scale = (gradient * others).sum(1) / (probabilities * others).sum(1).clamp(
            min=torch.finfo(mean.dtype).tiny
        )
        own = logits.softmax(2) - (1 - others)
        return shares[:, None, None] * scale[None, :, None] * own, None
