"""The attacks that are carried out here: ARC alone."""

from collections.abc import Callable

import torch
from torch import Tensor

from bench.attacks.attack import Attack
from bench.attacks.bench.arc import Budget, Ensemble, arc
from bench.attacks.question import Craft, Question
from bench.attacks.translation import Opponent
from bench.attacks.white_box import Arc


def make_craft(spec: Attack, opponent: Opponent) -> Craft:
    """``spec`` against ``opponent``, member by member. Raises NotImplementedError if it is not ARC."""
    if not isinstance(spec, Arc):
        raise NotImplementedError(f"there is no '{spec.attack}' here")
    ensemble = _members_of(opponent)

    def craft(question: Question) -> Tensor:
        budget = Budget(spec.norm, question.eps, spec.step_at(question.eps), spec.steps, spec.candidates)
        return arc(ensemble, question.x, question.y, budget)

    return craft


def _members_of(opponent: Opponent) -> Ensemble:
    """The members of the model that is attacked, each with its probability; the model itself where it has none."""
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
