"""ARC, the attack on randomised ensembles of Dbouk and Shanbhag 2022.

Their paper is "Adversarial Vulnerability of Randomized Ensembles". Descent on the mean loss can stand still
between members that pull to opposite sides, where some of them could be fooled. ARC visits the members one by
one, fools each if it can without giving the earlier ones back, and keeps what does not raise the exact
expected correctness.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

RHO = 0.05
"""Share of eps by which a step goes beyond a boundary (published)."""
TINY = 1e-12


@dataclass(frozen=True)
class Ensemble:
    """``ask`` gives the logits (N x classes) of the member at a position, for images.

    ``shares`` is how often each answers.
    """

    ask: Callable[[int, Tensor], Tensor]
    shares: tuple[float, ...]

    @property
    def order(self) -> list[int]:
        """The members, the most frequent first."""
        return sorted(range(len(self.shares)), key=lambda i: -self.shares[i])

    @torch.no_grad()
    def correct(self, x: Tensor, y: Tensor) -> Tensor:
        """The expected correctness (N) on images ``x`` with labels ``y``."""
        right = [share * (self.ask(i, x).argmax(1) == y).double() for i, share in enumerate(self.shares)]
        return torch.stack(right).sum(0)


@dataclass(frozen=True)
class Budget:
    """``steps`` of length ``step`` within ``eps`` in ``norm`` (linf or l2).

    They go to boundaries of the ``candidates`` likeliest classes.
    """

    norm: str
    eps: float
    step: float
    steps: int
    candidates: int

    def unit(self, gradient: Tensor) -> Tensor:
        """The direction of length 1 in which a linear function with this ``gradient`` falls fastest."""
        if self.norm == "linf":
            return -gradient.sign()
        return -gradient / _length(gradient, 2)

    def dual(self, gradient: Tensor) -> Tensor:
        """The length of ``gradient``: how fast a linear function falls along ``unit`` (N x 1 x 1 x 1)."""
        return _length(gradient, 1 if self.norm == "linf" else 2)

    def scaled(self, change: Tensor) -> Tensor:
        """``change`` at the length of a step."""
        return self.step * change / _length(change, torch.inf if self.norm == "linf" else 2)

    def within(self, change: Tensor, x: Tensor) -> Tensor:
        """``change`` of ``x`` projected into the ball, and then into the box."""
        if self.norm == "linf":
            inside = change.clamp(-self.eps, self.eps)
        else:
            inside = change * (self.eps / _length(change, 2)).clamp(max=1)
        return (x + inside).clamp(0, 1) - x


def arc(ensemble: Ensemble, x: Tensor, y: Tensor, budget: Budget) -> Tensor:
    """Adversarials of ``x`` (N x C x H x W in [0, 1], labels ``y``) of least expected correctness found."""
    best, kept = torch.zeros_like(x), ensemble.correct(x, y)
    for _ in range(budget.steps):
        tried, correct = _around(ensemble, x, y, best, budget)
        better = correct <= kept
        best = torch.where(_wide(better), tried, best)
        kept = torch.where(better, correct, kept)
    return (x + best).clamp(0, 1)


def _around(ensemble: Ensemble, x: Tensor, y: Tensor, best: Tensor, budget: Budget) -> tuple[Tensor, Tensor]:
    """The best change within a step of ``best`` from visiting every member, and its expected correctness."""
    local, changed = torch.zeros_like(x), best
    kept = torch.full((len(x),), torch.inf, dtype=torch.float64, device=x.device)
    for position, i in enumerate(ensemble.order):
        gradient, distance = _nearest(partial(ensemble.ask, i), x + best, y, budget)
        length = _length_of_step(local, gradient, distance, budget, first=position == 0)
        moved = budget.scaled(local + _wide(length) * budget.unit(gradient))
        tried = budget.within(best + moved, x)
        correct = ensemble.correct(x + tried, y)
        better = correct <= kept
        local, changed = torch.where(_wide(better), moved, local), torch.where(_wide(better), tried, changed)
        kept = torch.where(better, correct, kept)
    return changed, kept


def _length_of_step(
    local: Tensor, gradient: Tensor, distance: Tensor, budget: Budget, *, first: bool
) -> Tensor:
    """How far (N) to go towards a member's boundary at ``distance`` (N).

    It is passed once all is scaled to a step.
    """
    whole = torch.full_like(distance, budget.step)
    if first:
        return whole
    gained = (-gradient * local).flatten(1).sum(1) / budget.dual(gradient).flatten()
    needed = (
        budget.step / (budget.step - distance).clamp(min=TINY) * (distance - gained).abs() + RHO * budget.eps
    )
    return torch.where(distance < budget.step, needed, whole)


def _nearest(ask: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, budget: Budget) -> tuple[Tensor, Tensor]:
    """The gradient of the margin at the nearest boundary of class ``y``, and its distance.

    The distance (N) is 0 where ``x`` lies beyond it already. Both are as if logits were linear at ``x``.
    """
    inputs = x.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        logits = ask(inputs)
        true = logits.gather(1, y[:, None])
        others = logits.scatter(1, y[:, None], -torch.inf)
        likeliest = others.topk(min(budget.candidates, logits.shape[1] - 1), dim=1).values
        margins = true - likeliest
        gradients = [_gradient(margins[:, j].sum(), inputs) for j in range(margins.shape[1])]
    lengths = torch.stack([budget.dual(gradient).flatten() for gradient in gradients])
    distances = margins.detach().T / lengths
    nearest = distances.argmin(0)
    chosen = torch.stack(gradients)[nearest, torch.arange(len(x), device=x.device)]
    return chosen, distances.gather(0, nearest[None])[0].clamp(min=0)


def _gradient(value: Tensor, inputs: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(value, inputs, retain_graph=True)
    return gradient


def _length(change: Tensor, p: float) -> Tensor:
    return _wide(change.flatten(1).norm(p=p, dim=1).clamp(min=TINY))


def _wide(per_image: Tensor) -> Tensor:
    return per_image[:, None, None, None]
