"""Neutral attack -> ART call. Every parameter is set here; none is left to ART's default."""

from collections.abc import Callable
from dataclasses import replace
from functools import singledispatch
from typing import Any

import art.attacks.evasion as art
import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn

from bench.attacks.art.estimators import (
    DirectClassifier,
    LastPass,
    PredictionCache,
    SharingClassifier,
    WideClassifier,
)
from bench.attacks.art.workarounds import (
    CleanGeoDa,
    FinishedHopSkipJump,
    Probabilities,
    StartingApgd,
    StartingPgd,
)
from bench.attacks.losses import DlrLoss, TowardsTarget
from bench.attacks.question import Craft, Question
from bench.attacks.randomness import random_start
from bench.attacks.spec import (
    Apgd,
    Attack,
    Bim,
    Boundary,
    CarliniWagner,
    DeepFool,
    Ead,
    Fgsm,
    GeoDa,
    HopSkipJump,
    MiFgsm,
    NewtonFool,
    Pgd,
    SimBa,
    Spatial,
    Square,
    Zoo,
    asks,
)
from bench.attacks.translation import Opponent

NORMS = {"linf": np.inf, "l2": 2, "l1": 1}
BOUNDARY_QUERIES = 20
"""ART's boundary attack proposes about this often an iteration: 10 along the sphere, 10 towards the image."""


def make_craft(spec: Attack, opponent: Opponent) -> Craft:
    """``spec`` against ``opponent`` by ART."""
    kind, num_classes = _estimator_kind(spec, draws=opponent.draws), opponent.num_classes
    asked = Probabilities(opponent.model) if isinstance(spec, SimBa) else opponent.model
    usual = _estimator(kind, replace(opponent, model=asked), _loss(None, None))

    def craft(question: Question) -> Tensor:
        target = usual if not isinstance(spec, Apgd) else _for_apgd(spec, opponent, question)
        if isinstance(target, SharingClassifier):
            target.gradient = question.shared.gradient
        attack = translate(spec, target, question)
        aim = question.y if question.target is None or isinstance(spec, Apgd) else question.target
        if isinstance(attack, StartingPgd):
            attack.gradient = question.shared.gradient
            return attack.descend(question.x, aim)
        given = {}
        if isinstance(spec, Boundary | HopSkipJump) and question.others is not None:
            given["x_adv_init"] = question.others.cpu().numpy()
        adversarial = attack.generate(question.x.cpu().numpy(), _labels(spec, aim, num_classes), **given)
        return torch.from_numpy(np.asarray(adversarial, dtype=np.float32)).to(question.x)

    return craft


def make_predictor(opponent: Opponent) -> Callable[[Tensor], Tensor]:
    """Logits of images as ART asks ``opponent`` for them."""
    estimator = _estimator(PyTorchClassifier, opponent, nn.CrossEntropyLoss())

    def predictor(x: Tensor) -> Tensor:
        return torch.from_numpy(estimator.predict(x.cpu().numpy(), batch_size=len(x)))

    return predictor


def _estimator(kind: type[PyTorchClassifier], opponent: Opponent, loss: nn.Module) -> PyTorchClassifier:
    # Without `preprocessing=None` ART subtracts 0 and divides by 1 at each pass, and fetches both from the
    # host.
    return kind(
        opponent.model, loss=loss, input_shape=opponent.input_shape, nb_classes=opponent.num_classes,
        clip_values=(0.0, 1.0), preprocessing=None,
        device_type="gpu" if opponent.device.startswith("cuda") else "cpu",
    )  # fmt: skip


def _for_apgd(spec: Apgd, opponent: Opponent, question: Question) -> PyTorchClassifier:
    model = opponent.model if opponent.draws else LastPass(opponent.model)
    return _estimator(PyTorchClassifier, replace(opponent, model=model), _loss(spec, question))


def _estimator_kind(spec: Attack, *, draws: bool) -> type[PyTorchClassifier]:
    if isinstance(spec, Fgsm) and not spec.random_start:
        return SharingClassifier
    if isinstance(spec, Square):
        return PredictionCache
    if isinstance(spec, Zoo) or (isinstance(spec, Boundary) and not draws):
        return WideClassifier
    return DirectClassifier if asks(spec) else PyTorchClassifier


def _loss(spec: Apgd | None, question: Question | None) -> nn.Module:
    """Summed, as Foolbox sums: a mean scales gradients towards zero."""
    if spec is None or question is None:
        return nn.CrossEntropyLoss(reduction="sum")
    if question.target is not None:
        return TowardsTarget(question.target, ratio=spec.loss == "dlr")
    return DlrLoss() if spec.loss == "dlr" else nn.CrossEntropyLoss(reduction="sum")


def _labels(spec: Attack, y: Tensor, num_classes: int) -> Any:
    labels = y.cpu().numpy()
    return np.eye(num_classes, dtype=np.float32)[labels] if isinstance(spec, SimBa) else labels


@singledispatch
def translate(spec: Attack, estimator: PyTorchClassifier, question: Question) -> Any:
    """ART's attack for ``spec`` at the eps of ``question``. Raises NotImplementedError if ART has none."""
    raise NotImplementedError(f"art has no attack '{spec.attack}'")


@translate.register
def _(spec: Fgsm, estimator: PyTorchClassifier, question: Question) -> Any:
    if spec.random_start:
        return _descent(estimator, question, spec.norm, step=question.eps, steps=1, decay=None, start=True)
    return art.FastGradientMethod(
        estimator, norm=NORMS[spec.norm], eps=question.eps, eps_step=question.eps,
        targeted=question.target is not None, num_random_init=0, batch_size=len(question),
        minimal=False, summary_writer=False,
    )  # fmt: skip


@translate.register(Pgd)
@translate.register(Bim)
def _(spec: Pgd | Bim, estimator: PyTorchClassifier, question: Question) -> Any:
    step = spec.step_at(question.eps)
    return _descent(
        estimator, question, spec.norm, step=step, steps=spec.steps, decay=None, start=spec.random_start
    )


@translate.register
def _(spec: MiFgsm, estimator: PyTorchClassifier, question: Question) -> Any:
    step = spec.step_at(question.eps)
    return _descent(
        estimator, question, spec.norm, step=step, steps=spec.steps, decay=spec.decay, start=spec.random_start
    )


def _descent(
    estimator: PyTorchClassifier,
    question: Question,
    norm: str,
    *,
    step: float,
    steps: int,
    decay: float | None,
    start: bool,
) -> Any:
    attack = StartingPgd(
        estimator, norm=NORMS[norm], eps=question.eps, eps_step=step, decay=decay, max_iter=steps,
        targeted=question.target is not None, num_random_init=int(start), batch_size=len(question),
        random_eps=False, summary_writer=False, verbose=False,
    )  # fmt: skip
    if start:
        attack.start = random_start(question, norm)
    return attack


@translate.register
def _(spec: Apgd, estimator: PyTorchClassifier, question: Question) -> Any:
    # A target is in the loss, not in ART's `targeted`, which keeps the worse of its first two points.
    attack = StartingApgd(
        estimator, norm=NORMS[spec.norm], eps=question.eps, eps_step=question.eps * spec.rel_step_size,
        max_iter=spec.steps, targeted=False, nb_random_init=1, batch_size=len(question), loss_type=None,
        verbose=False,
    )  # fmt: skip
    attack.start_offset = (random_start(question, spec.norm) - question.x).flatten(1).cpu().numpy()
    return attack


@translate.register
def _(spec: DeepFool, estimator: PyTorchClassifier, question: Question) -> Any:
    return art.DeepFool(
        estimator, max_iter=spec.steps, epsilon=spec.overshoot,
        nb_grads=min(spec.candidates, estimator.nb_classes), batch_size=len(question), verbose=False,
    )  # fmt: skip


@translate.register
def _(spec: CarliniWagner, estimator: PyTorchClassifier, question: Question) -> Any:
    if spec.norm == "linf":
        return art.CarliniLInfMethod(
            estimator, confidence=spec.confidence, targeted=False, learning_rate=spec.step_size,
            max_iter=spec.steps, decrease_factor=spec.decrease_factor, initial_const=spec.initial_const,
            largest_const=spec.largest_const, const_factor=spec.const_factor,
            batch_size=len(question), verbose=False,
        )  # fmt: skip
    return art.CarliniL2Method(
        estimator, confidence=spec.confidence, targeted=False, learning_rate=spec.step_size,
        binary_search_steps=spec.binary_search_steps, max_iter=spec.steps, initial_const=spec.initial_const,
        max_halving=5, max_doubling=5, batch_size=len(question), verbose=False,
    )  # fmt: skip


@translate.register
def _(spec: Ead, estimator: PyTorchClassifier, question: Question) -> Any:
    return art.ElasticNet(
        estimator, confidence=spec.confidence, targeted=False, learning_rate=spec.step_size,
        binary_search_steps=spec.binary_search_steps, max_iter=spec.steps, beta=spec.regularization,
        initial_const=spec.initial_const, batch_size=len(question),
        decision_rule="L1" if spec.decision_rule == "l1" else "EN", verbose=False,
    )  # fmt: skip


@translate.register
def _(spec: NewtonFool, estimator: PyTorchClassifier, question: Question) -> Any:
    return art.NewtonFool(
        estimator, max_iter=spec.steps, eta=spec.eta, batch_size=len(question), verbose=False
    )


@translate.register
def _(spec: Boundary, estimator: PyTorchClassifier, question: Question) -> Any:
    return art.BoundaryAttack(
        estimator, batch_size=len(question), targeted=False, delta=spec.spherical_step,
        epsilon=spec.source_step, step_adapt=1 / spec.step_adaptation,
        max_iter=-(-spec.steps // BOUNDARY_QUERIES), num_trial=10, sample_size=10, init_size=1,
        min_epsilon=0.0, verbose=False,
    )  # fmt: skip


@translate.register
def _(spec: HopSkipJump, estimator: PyTorchClassifier, _question: Question) -> Any:
    return FinishedHopSkipJump(
        estimator, batch_size=64, targeted=False, norm=NORMS[spec.norm], max_iter=spec.steps,
        max_eval=spec.max_evaluations, init_eval=spec.initial_evaluations, init_size=1, verbose=False,
    )  # fmt: skip


@translate.register
def _(spec: GeoDa, estimator: PyTorchClassifier, question: Question) -> Any:
    attack = CleanGeoDa(
        estimator, batch_size=64, norm=NORMS[spec.norm], sub_dim=spec.sub_dim, max_iter=spec.queries,
        bin_search_tol=spec.tolerance, lambda_param=spec.query_decay, sigma=spec.sigma, verbose=False,
    )  # fmt: skip
    attack.start = None if question.others is None else question.others.cpu().numpy()
    return attack


@translate.register
def _(spec: Zoo, estimator: PyTorchClassifier, _question: Question) -> Any:
    # Each step is along other coordinates: one without gain, at which ART would abort, tells nothing about
    # the next.
    return art.ZooAttack(
        estimator, confidence=spec.confidence, targeted=False, learning_rate=spec.step_size,
        max_iter=spec.steps, binary_search_steps=spec.binary_search_steps, initial_const=spec.initial_const,
        abort_early=False, use_resize=False, use_importance=False, nb_parallel=spec.coordinates, batch_size=1,
        variable_h=spec.difference, verbose=False,
    )  # fmt: skip


@translate.register
def _(spec: Square, estimator: PyTorchClassifier, question: Question) -> Any:
    return art.SquareAttack(
        estimator, norm=NORMS[spec.norm], adv_criterion=None, loss=None, max_iter=spec.steps,
        eps=question.eps, p_init=spec.p_init, nb_restarts=1, batch_size=len(question), verbose=False,
    )  # fmt: skip


@translate.register
def _(spec: SimBa, estimator: PyTorchClassifier, _question: Question) -> Any:
    return art.SimBA(
        estimator, attack="px" if spec.basis == "pixel" else "dct", max_iter=spec.steps, order="random",
        epsilon=spec.step_size, freq_dim=spec.freq_dim, stride=spec.stride, targeted=False, batch_size=1,
        verbose=False,
    )  # fmt: skip


@translate.register
def _(spec: Spatial, estimator: PyTorchClassifier, question: Question) -> Any:
    return art.SpatialTransformation(
        estimator, max_translation=100 * question.eps, num_translations=spec.shifts,
        max_rotation=spec.max_rotation, num_rotations=spec.rotations, verbose=False,
    )  # fmt: skip
