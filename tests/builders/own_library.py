"""An attack library as another package would bring it: FGSM and noise in plain torch, declared and
translated in one module."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from bench.attacks.attack import Attack
from bench.attacks.library import AttackLibrary, Carried
from bench.attacks.question import Craft, Question
from bench.attacks.translation import Opponent

LIBRARY = AttackLibrary(
    name="plain",
    title="Plain Torch",
    distributions=("torch",),
    modules=(),
    translation="tests.builders.own_library",
    attacks={
        "fgsm/linf": Carried("exact"),
        "pgd/linf": Carried("related", "one step, whatever is asked for"),
    },
)
NOT_A_LIBRARY = object()
NAMESAKE = AttackLibrary("art", "Another ART", ("torch",), (), "tests.builders.own_library", {})
STRANGE = AttackLibrary(
    "strange", "Strange", ("torch",), (), "tests.builders.own_library", {"spell/linf": Carried("exact")}
)


def make_craft(spec: Attack, opponent: Opponent) -> Craft:
    """One step of size eps, whatever is asked for."""
    assert spec.norm == "linf"

    def craft(question: Question) -> Tensor:
        x = question.x.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(cross_entropy(opponent.model(x), question.y, reduction="sum"), x)
        moved = question.x + question.eps * gradient.sign()
        return (question.x + (moved - question.x).clamp(-question.eps, question.eps)).clamp(0, 1)

    return craft


def make_predictor(opponent: Opponent) -> Callable[[Tensor], Tensor]:
    """The model itself."""
    predictor: Callable[[Tensor], Tensor] = opponent.model
    return predictor
