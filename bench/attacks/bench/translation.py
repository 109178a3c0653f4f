"""The attacks that are carried out here: ARC alone."""

from collections.abc import Callable
from functools import singledispatch

import torch
from torch import Tensor, nn

from bench.attacks.attack import Attack
from bench.attacks.bench.arc import Budget, Ensemble, arc
from bench.attacks.question import Craft, Question
from bench.attacks.translation import Opponent
from bench.attacks.white_box import Arc


def make_craft(spec: Attack, opponent: Opponent) -> Craft:
    """``spec``, which must be ARC, against ``opponent``, member by member."""
    ensemble = _members_of(opponent)

    def craft(question: Question) -> Tensor:
        return arc(ensemble, question.x, question.y, translate(spec, opponent.model, question))

    return craft


@singledispatch
def translate(spec: Attack, model: nn.Module, question: Question) -> Budget:
    """What ARC is told of ``spec`` at the eps of ``question``.

    Raises NotImplementedError if that is another attack.
    """
    raise NotImplementedError(f"there is no '{spec.attack}' here")


@translate.register
def _(spec: Arc, _: nn.Module, question: Question) -> Budget:
    return Budget(spec.norm, question.eps, spec.step_at(question.eps), spec.steps, spec.candidates)


def _members_of(opponent: Opponent) -> Ensemble:
    """The members of the attacked model, each with its probability; the model itself where it has none."""
    attacked = getattr(opponent.model, "classifier", None)
    if attacked is not None and hasattr(attacked, "ask_one"):
        return Ensemble(attacked.ask_one, attacked.shares)
    return Ensemble(lambda _, x: opponent.model(x), (1.0,))


def make_predictor(opponent: Opponent) -> Callable[[Tensor], Tensor]:
    """Logits of images as ARC asks for them."""

    @torch.no_grad()
    def predict(x: Tensor) -> Tensor:
        logits: Tensor = opponent.model(x)
        return logits

    return predict
