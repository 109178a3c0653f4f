"""Models that hide a network's gradients, or its answers: each looks more robust than it is, in one way.

They are built around the tests' small network as around a ResNet, whose own adversarials still fool them.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from tests.broken.zoo import Defended, same

Change = Callable[[Tensor], Tensor]
Seen = list[tuple[Tensor, Tensor]]
SEEN: Seen = []


def quantise(x: Tensor) -> Tensor:
    return (x * 16).round() / 16


def ripple(x: Tensor) -> Tensor:
    """Shattered gradients (Athalye et al. 2018): 20 times as steep as the network, with a sign that
    changes at every step."""
    return x + 0.02 * torch.sin(1000 * x)


def jitter(x: Tensor) -> Tensor:
    return x + 0.1 * torch.randn_like(x)


def saturate(logits: Tensor) -> Tensor:
    return logits * 1000


def probabilities(logits: Tensor) -> Tensor:
    return F.softmax(logits, dim=1)


class Backward(torch.autograd.Function):
    """The identity, whose gradient is changed by a function."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, change: Change) -> Tensor:
        ctx.change = change
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.change(gradient), None


def with_gradient(change: Change) -> Change:
    return lambda x: Backward.apply(x, change)


def noisy(gradient: Tensor) -> Tensor:
    """Drowned in noise of ten times its size."""
    return gradient + 10 * gradient.abs().mean() * torch.randn_like(gradient)


def left_half(gradient: Tensor) -> Tensor:
    """Of the left half of each image only."""
    return gradient * (torch.arange(gradient.shape[-1], device=gradient.device) < gradient.shape[-1] // 2)


def few_pixels(gradient: Tensor) -> Tensor:
    """Of one row in four only."""
    return gradient * (torch.arange(gradient.shape[-2], device=gradient.device) % 4 == 0)[:, None]


def partly_nan(gradient: Tensor) -> Tensor:
    """Not a number in one column."""
    return torch.where(torch.arange(gradient.shape[-1], device=gradient.device) == 3, torch.nan, gradient)


def misled(gradient: Tensor) -> Tensor:
    """Of the opposite sign in two rows of three."""
    return (
        gradient
        * torch.where(torch.arange(gradient.shape[-2], device=gradient.device) % 3 > 0, -1.0, 1.0)[:, None]
    )


def thermometer(x: Tensor) -> Tensor:
    """The mean of eight hard comparisons with levels between -2 and 2, as a thermometer code is read."""
    levels = torch.linspace(-1.75, 1.75, 8, device=x.device)
    return (x[..., None] > levels).float().mean(-1) * 4 - 2 + 0 * x


def jpeg(x: Tensor) -> Tensor:
    """Rounded in the cosine basis of 4 x 4 blocks, as JPEG does in one of 8 x 8."""
    n = torch.arange(4, device=x.device)
    basis = (
        torch.cos(torch.pi * (n[None] + 0.5) * n[:, None] / 4) * torch.where(n == 0, 0.5, 0.5**0.5)[:, None]
    )
    blocks = x.unfold(2, 4, 4).unfold(3, 4, 4)
    rounded = (torch.einsum("ij,bchwjk,lk->bchwil", basis, blocks, basis) / 0.2).round() * 0.2
    back = torch.einsum("ji,bchwjk,kl->bchwil", basis, rounded, basis)
    return back.permute(0, 1, 2, 4, 3, 5).reshape(x.shape)


def clamped(logits: Tensor) -> Tensor:
    return logits.clamp(-1, 1)


def squashed(logits: Tensor) -> Tensor:
    """Logits of a saturated sigmoid, between -6 and 6."""
    return 12 * torch.sigmoid(3 * logits) - 6


def rounded_logits(logits: Tensor) -> Tensor:
    return (4 * logits).round() / 4 + 1e-6 * logits


def hashed_noise(x: Tensor) -> Tensor:
    """Noise that the image's own last digits draw: the same for the same image, another for the next."""
    return x + 0.15 * torch.sin(1e5 * (x + x.flatten(1).sum(1)[:, None, None, None]))


def reversed_gradient(logits: Tensor) -> Tensor:
    return 2 * logits.detach() - logits


def reversed_near_the_boundary(logits: Tensor) -> Tensor:
    """Of the opposite gradient where the largest leads by less than half of what it is above the mean."""
    first, second = logits.detach().topk(2, dim=1).values.T
    near = first - second < 0.5 * (first - logits.detach().mean(1))
    return torch.where(near[:, None], reversed_gradient(logits), logits)


def max_of_detached(x: Tensor) -> Tensor:
    """The image; its gradient goes to the brightest of each 2 x 2 pixels, all others come from a copy."""
    pooled = F.max_pool2d(x, 2).repeat_interleave(2, -1).repeat_interleave(2, -2)
    return torch.where(x == pooled, x, x.detach())


def one_in_four(gradient: Tensor) -> Tensor:
    """Of one activation in four only, wherever they lie."""
    generator = torch.Generator().manual_seed(7)
    return gradient * (torch.rand(gradient.shape[1:], generator=generator).to(gradient) < 1 / 4)


def few_channels(gradient: Tensor) -> Tensor:
    """Of one channel in four only."""
    return gradient * (torch.arange(gradient.shape[1], device=gradient.device) % 4 == 0)[:, None, None]


def rounded_activations(x: Tensor) -> Tensor:
    """Rounded to halves; one in four keeps its gradient as if it were not, all others have none."""
    return with_gradient(one_in_four)(x) + ((2 * x).round() / 2 - x).detach()


def stairs(x: Tensor) -> Tensor:
    """Sigmoids between halves: nearly everywhere saturated, and on the average the activation itself."""
    base = (2 * x).floor().detach()
    return (base + torch.sigmoid(10 * (2 * x - base - 0.5))) / 2


class Changed(nn.Module):
    """A function as a module."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        return self.change(x)


def within(change: Change, layer: int = 1) -> Callable[[Any], nn.Module]:
    """The network with ``change`` after its first activation, or of the small one that of ``layer``."""

    def build(network: Any) -> nn.Module:
        masked = copy.deepcopy(network)
        if hasattr(masked, "body"):
            masked.body[layer] = nn.Sequential(masked.body[layer], Changed(change))
        else:
            masked.relu = nn.Sequential(masked.relu, Changed(change))
        return cast("nn.Module", masked)

    return build


class Unruly(nn.Module):
    """Dropout before the head (``head`` of the small network, ``fc`` of a ResNet), left in training mode."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.dropout = copy.deepcopy(network), nn.Dropout(0.3)
        name = "head" if hasattr(network, "head") else "fc"
        setattr(self.network, name, nn.Sequential(self.dropout, self.network.get_submodule(name)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x)
        return out

    def train(self, mode: bool = True) -> "Unruly":  # noqa: ARG002 (the defect: dropout is never switched off)
        super().train(False)
        self.dropout.train(True)
        return self


class Remembers(nn.Module):
    """Gives an image near one that it has seen the answer that it gave then; gradients are the network's.

    What it has seen it keeps itself, unless ``outside`` has it, which no copy of the model copies.
    """

    def __init__(self, network: nn.Module, reach: float, outside: Callable[[], Seen] | None = None) -> None:
        super().__init__()
        self.network, self.reach, self.outside = network, reach, outside
        self.seen: Seen = []

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        answers = [
            self._answer(image, answer) for image, answer in zip(x.detach(), logits.detach(), strict=True)
        ]
        return torch.stack(answers) + logits - logits.detach()

    def _answer(self, image: Tensor, answer: Tensor) -> Tensor:
        seen = self.outside() if self.outside else self.seen
        for known, said in seen:
            if float((known - image).abs().max()) <= self.reach:
                return said.clone()
        seen.append((image.clone(), answer.clone()))
        return answer


def remembers_in_a_global(network: nn.Module) -> nn.Module:
    SEEN.clear()
    return Remembers(network, 0.8, lambda: SEEN)


def remembers_in_a_closure(network: nn.Module) -> nn.Module:
    seen: Seen = []
    return Remembers(network, 0.8, lambda: seen)


class NormalisedByBatch(nn.Module):
    """Takes the mean of the batch's logits away, and adds the distance to it: alone, an image has none.

    Batches under ``least`` images are left as they are.
    """

    def __init__(self, network: nn.Module, least: int = 0) -> None:
        super().__init__()
        self.network, self.least = network, least

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        if len(x) < self.least:
            return logits
        spread = logits.std(0, unbiased=False, keepdim=True)
        return (logits - logits.mean(0, keepdim=True)) / (spread + 1e-3)


class Twofold(nn.Module):
    """Answers by ``network``; its gradient, or all that is asked with gradients on, comes from ``twin``."""

    def __init__(self, network: nn.Module, twin: nn.Module, *, answers: bool) -> None:
        super().__init__()
        self.network, self.twin, self.answers = network, twin, answers

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        if self.answers:
            return torch.as_tensor(self.twin(x)) if torch.is_grad_enabled() else logits
        other: Tensor = self.twin(x)
        return logits.detach() + other - other.detach()


class Placed(nn.Module):
    """In a batch of 32 or more, an image's place in it counts for a class: there, samples come in order."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        if len(x) < 32:
            return logits
        classes = logits.shape[1]
        place = F.one_hot(torch.arange(len(x), device=x.device) % classes, classes)
        return logits + logits.detach().abs().amax() * place


class Seldom(nn.Module):
    """Turns the gradient of its logits round, but for one call in five with gradients on."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.calls = network, 0

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        self.calls += torch.is_grad_enabled()
        return logits if self.calls % 5 == 1 else reversed_gradient(logits)


class BetweenLevels(nn.Module):
    """Answers by ``network``; for images whose values are no whole 8-bit levels, the gradient is a twin's."""

    def __init__(self, network: nn.Module, twin: nn.Module) -> None:
        super().__init__()
        self.network, self.twin = network, twin

    def forward(self, x: Tensor) -> Tensor:
        logits, other = self.network(x), self.twin(x)
        levels = 255 * (x.detach() + 1)  # whole for whole levels, over a standard deviation of 1/4 as of 1/2
        between = ((levels - levels.round()).abs() > 0.02).float().mean((1, 2, 3)) > 0.1
        return torch.where(between[:, None], logits.detach() + other - other.detach(), logits)


class Voting(nn.Module):
    """The share of votes of 32 noisy copies, always of the same noise, with a faint trace of the logits."""

    def __init__(self, network: nn.Module, *, soft: bool) -> None:
        super().__init__()
        self.network, self.soft = network, soft

    def forward(self, x: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(16, *x.shape[1:], generator=generator).to(x) * 0.1
        logits: Tensor = self.network((x[:, None] + noise).flatten(0, 1)).view(len(x), 16, -1)
        if self.soft:
            return logits.mean(1)
        votes = F.one_hot(logits.argmax(2), logits.shape[2]).float().mean(1)
        return 10 * votes + 1e-3 * logits.mean(1)


class Winners(nn.Module):
    """Keeps the largest fifth of the features before the head, and rounds them."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        features = self.network.body(x)
        least = features.topk(max(features.shape[1] // 5, 1), dim=1).values[:, -1:]
        out: Tensor = self.network.head(torch.where(features >= least, features, 0))
        return out


class Drifting(nn.Module):
    """Changes a little with each call."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.calls = network, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        shift = 0.15 * torch.sin(torch.arange(x[0].numel(), device=x.device) * 1.7 + self.calls).view(
            x.shape[1:]
        )
        out: Tensor = self.network(x + shift)
        return out


class Rotating(nn.Module):
    """Answers one image in three of a batch through the mirrored network: company decides."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        others = x.mean(0, keepdim=True)
        out: Tensor = self.network(x + 0.5 * (others - others.mean()))
        return out


def scrambled(network: nn.Module) -> nn.Module:
    """Another network of the same shape."""
    twin = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(5)
    for parameter in twin.parameters():
        parameter.data = parameter.data[torch.randperm(len(parameter), generator=generator)]
    return twin


@dataclass(frozen=True)
class Masked:
    """One way to mask: ``build`` it around a network. One of ``named`` is the check that should say so.

    That holds where it makes the network look more robust than it is; or ``always``, where it is wrong in
    itself.
    """

    build: Callable[[Any], nn.Module]
    named: tuple[str, ...]
    always: bool = False
    only_small: bool = False


def _around(before: Change = same, after: Change = same) -> Callable[[Any], nn.Module]:
    return lambda network: Defended(network, before, after)


MASKED: dict[str, Masked] = {
    "saturated logits": Masked(_around(after=saturate), ("gradients", "second-loss")),
    "logits x 100": Masked(_around(after=lambda z: 100 * z), ("gradients", "second-loss")),
    "logits x 0.01": Masked(_around(after=lambda z: 0.01 * z), ("second-loss",)),
    "logits x 0.0001": Masked(_around(after=lambda z: 1e-4 * z), ("second-loss",)),
    "quantised input": Masked(_around(quantise), ("gradients",)),
    "shattered gradient": Masked(_around(ripple), ("binarisation", "noise", "slope")),
    "random noise": Masked(_around(jitter), ("deterministic",), always=True),
    "softmax output": Masked(_around(after=probabilities), ("logits",), always=True),
    "detached gradient": Masked(_around(lambda x: x.detach() + 0 * x), ("gradients",)),
    "thermometer": Masked(_around(thermometer), ("gradients",)),
    "jpeg": Masked(_around(jpeg), ("gradients",)),
    "clamped logits": Masked(_around(after=clamped), ("gradients", "slope", "unconstrained")),
    "squashed logits": Masked(_around(after=squashed), ("behind-head", "second-loss")),
    "rounded logits": Masked(_around(after=rounded_logits), ("slope", "noise")),
    "noise on the image's gradient": Masked(_around(with_gradient(noisy)), ("slope", "deterministic")),
    "noise on the logits' gradient": Masked(_around(after=with_gradient(noisy)), ("slope", "behind-head")),
    "gradient of the left half": Masked(_around(with_gradient(left_half)), ("partial-gradients",)),
    "gradient of one row in four": Masked(_around(with_gradient(few_pixels)), ("partial-gradients",)),
    "gradient partly NaN": Masked(_around(with_gradient(partly_nan)), ("gradients",)),
    "gradient partly reversed": Masked(_around(with_gradient(misled)), ("slope",)),
    "gradient of the brightest": Masked(_around(max_of_detached), ("partial-gradients",)),
    "hashed noise": Masked(_around(hashed_noise), ("slope", "binarisation", "noise")),
    "remembers": Masked(lambda n: Remembers(n, 0.8), ("state",)),
    "remembers in a global": Masked(remembers_in_a_global, ("state",)),
    "remembers in a closure": Masked(remembers_in_a_closure, ("state",)),
    "normalised by batch": Masked(NormalisedByBatch, ("company",)),
    "mixed with its batch": Masked(Rotating, ("company",)),
    "normalised by a large batch": Masked(lambda n: NormalisedByBatch(n, 32), ("company",)),
    "placed in a large batch": Masked(Placed, ("company",)),
    "reversed gradient in four calls of five": Masked(Seldom, ("slope", "behind-head")),
    "reversed gradient near the boundary": Masked(
        _around(after=reversed_near_the_boundary), ("slope", "iterations", "behind-head")
    ),
    "a twin's gradient between the levels": Masked(lambda n: BetweenLevels(n, scrambled(n)), ("slope",)),
    "a twin's gradient": Masked(lambda n: Twofold(n, scrambled(n), answers=False), ("slope",)),
    "a twin's answers": Masked(lambda n: Twofold(n, scrambled(n), answers=True), ("state", "slope")),
    "votes of noisy copies": Masked(lambda n: Voting(n, soft=False), ("second-loss",)),
    "k winners": Masked(Winners, ("slope", "noise", "second-loss"), only_small=True),
    "rounded activations, one in four with a gradient": Masked(
        within(rounded_activations), ("slope", "search")
    ),
    "gradient of few channels": Masked(within(with_gradient(few_channels)), ("slope", "search")),
    "saturating activations": Masked(within(stairs, 3), ("slope", "search")),
    "dropout left on": Masked(Unruly, ("eval-mode",), always=True),
    "drifting": Masked(Drifting, ("deterministic",), always=True),
}
