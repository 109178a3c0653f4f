"""Neutral attack -> torchattacks call. Every parameter is set here; none is left to torchattacks' default."""

from collections.abc import Callable
from functools import singledispatch
from typing import Any

import torchattacks
from torch import Tensor, nn

from bench.attacks.question import Craft, Question
from bench.attacks.randomness import random_start
from bench.attacks.spec import Attack, Bim, Fgsm, Pgd, Square
from bench.attacks.torchattacks.workarounds import Beside, BestSquare, StartingL2Pgd, StartingPgd
from bench.attacks.translation import Opponent

NORMS = {"linf": "Linf", "l2": "L2"}
DESCENT = {"linf": StartingPgd, "l2": StartingL2Pgd}


def make_craft(spec: Attack, opponent: Opponent) -> Craft:
    """``spec`` against ``opponent`` by torchattacks."""
    model = Beside(opponent.model, opponent.device)

    def craft(question: Question) -> Tensor:
        attack = translate(spec, model, question)
        aim = question.y
        if question.target is not None:
            attack.set_mode_targeted_by_label(quiet=True)
            aim = question.target
        adversarial: Tensor = attack(question.x, aim)
        return adversarial

    return craft


def make_predictor(opponent: Opponent) -> Callable[[Tensor], Tensor]:
    """Logits of images as an attack of torchattacks asks for them."""
    attack = torchattacks.VANILA(Beside(opponent.model, opponent.device))
    predictor: Callable[[Tensor], Tensor] = attack.get_output_with_eval_nograd
    return predictor


@singledispatch
def translate(spec: Attack, model: nn.Module, question: Question) -> Any:
    """Torchattacks' attack for ``spec`` at the eps of ``question``.

    Raises NotImplementedError if it has none.
    """
    raise NotImplementedError(f"torchattacks has no attack '{spec.attack}'")


@translate.register
def _(spec: Fgsm, model: nn.Module, question: Question) -> Any:
    # Its FGSM is this descent with one step of size eps, but has no start and no l2.
    return _descent(model, question, spec, step=question.eps, steps=1)


@translate.register(Pgd)
@translate.register(Bim)
def _(spec: Pgd | Bim, model: nn.Module, question: Question) -> Any:
    return _descent(model, question, spec, step=spec.step_at(question.eps), steps=spec.steps)


def _descent(model: nn.Module, question: Question, spec: Fgsm | Pgd | Bim, *, step: float, steps: int) -> Any:
    attack = DESCENT[spec.norm](
        model, eps=question.eps, alpha=step, steps=steps, random_start=spec.random_start
    )
    if spec.random_start:
        attack.start = random_start(question, spec.norm)
    return attack


@translate.register
def _(spec: Square, model: nn.Module, question: Question) -> Any:
    return BestSquare(
        model, norm=NORMS[spec.norm], eps=question.eps, n_queries=spec.steps, n_restarts=1,
        p_init=spec.p_init, loss="margin", resc_schedule=True, seed=0, verbose=False,
    )  # fmt: skip
