"""Neutral attack -> Foolbox call. Every parameter is set here; none is left to Foolbox's default."""

from collections.abc import Callable
from functools import singledispatch
from typing import Any

import eagerpy
import foolbox.attacks as fb
from foolbox import PyTorchModel
from foolbox.criteria import Misclassification, TargetedMisclassification
from torch import Tensor

from bench.attacks.foolbox.workarounds import (
    AccumulateGradients,
    AskingAhead,
    BehindTheBoundary,
    BoundedLinfNoise,
    CountedL0,
    KnownAhead,
    ProjectedL2,
    UnflooredL1,
    UnflooredL2,
    quiet_root_logger,
    rate_of_one,
)
from bench.attacks.question import Craft, Question
from bench.attacks.randomness import random_start
from bench.attacks.shared import Once
from bench.attacks.spec import (
    Attack,
    Bim,
    Boundary,
    BrendelBethge,
    CarliniWagner,
    Ddn,
    DeepFool,
    Ead,
    Fgsm,
    Fmn,
    HopSkipJump,
    MiFgsm,
    Noise,
    Pgd,
    SaltAndPepper,
    Spatial,
    contract_of,
)
from bench.attacks.translation import Opponent

HOPSKIPJUMP_THRESHOLD = 0.01
"""ART's, where its binary search ends: times 1/sqrt(d) in l2 and 1/d in linf.

Foolbox's gamma is d times as large.
"""


class _Ours:
    """Foolbox's descent from our start, or with the ``first`` gradient that all eps share.

    Both are documented overrides.
    """

    start: Tensor | None = None
    first: Once[Any] | None = None

    def get_random_start(self, x0: eagerpy.Tensor, epsilon: float) -> eagerpy.Tensor:  # noqa: ARG002
        return eagerpy.astensor(self.start)

    def value_and_grad(self, loss_fn: Callable[..., Any], x: eagerpy.Tensor) -> Any:
        compute = super().value_and_grad  # type: ignore[misc]
        first, self.first = self.first, None
        return compute(loss_fn, x) if first is None else first.recall(lambda: compute(loss_fn, x))


class _LinfDescent(_Ours, fb.LinfProjectedGradientDescentAttack):  # type: ignore[misc]
    pass


class _L2Descent(_Ours, UnflooredL2, fb.L2ProjectedGradientDescentAttack):  # type: ignore[misc]
    pass


class _L1Descent(_Ours, UnflooredL1, fb.L1ProjectedGradientDescentAttack):  # type: ignore[misc]
    pass


class _LinfMomentum(_Ours, AccumulateGradients, fb.LinfMomentumIterativeFastGradientMethod):  # type: ignore[misc]
    pass


class _L2Momentum(_Ours, AccumulateGradients, UnflooredL2, fb.L2MomentumIterativeFastGradientMethod):  # type: ignore[misc]
    pass


class _LinfFmn(BehindTheBoundary, fb.LInfFMNAttack):  # type: ignore[misc]
    pass


class _L2Fmn(BehindTheBoundary, ProjectedL2, fb.L2FMNAttack):  # type: ignore[misc]
    pass


class _L1Fmn(BehindTheBoundary, fb.L1FMNAttack):  # type: ignore[misc]
    pass


class _L0Fmn(CountedL0, fb.L0FMNAttack):  # type: ignore[misc]
    pass


class _LinfNoise(BoundedLinfNoise, fb.LinfRepeatedAdditiveUniformNoiseAttack):  # type: ignore[misc]
    pass


_DESCENT = {"linf": _LinfDescent, "l2": _L2Descent, "l1": _L1Descent}
_MOMENTUM = {"linf": _LinfMomentum, "l2": _L2Momentum}
_FMN = {"linf": _LinfFmn, "l2": _L2Fmn, "l1": _L1Fmn, "l0": _L0Fmn}


def make_craft(spec: Attack, opponent: Opponent) -> Craft:
    """``spec`` against ``opponent`` by Foolbox."""
    ahead = KnownAhead(opponent.model) if isinstance(spec, HopSkipJump) and not opponent.draws else None
    wrapped = PyTorchModel(ahead or opponent.model, bounds=(0, 1), device=opponent.device)
    fixed = contract_of(spec).budget == "fixed" and not isinstance(spec, Spatial)

    def craft(question: Question) -> Tensor:
        attack = translate(spec, question)
        if isinstance(attack, AskingAhead):
            attack.model = ahead
        aim = (
            Misclassification(question.y)
            if question.target is None
            else TargetedMisclassification(question.target)
        )
        # `run` rather than `__call__`: the latter adds a success pass, which is ours to make.
        given: dict[str, Any] = {"epsilon": question.eps} if fixed else {}
        if question.others is not None:
            given["starting_points"] = question.others
        with quiet_root_logger():
            adversarial: Tensor = attack.run(wrapped, question.x, aim, **given)
        return adversarial

    return craft


def make_predictor(opponent: Opponent) -> Callable[[Tensor], Tensor]:
    """Logits of images as Foolbox asks ``opponent`` for them."""
    wrapped: Callable[[Tensor], Tensor] = PyTorchModel(opponent.model, bounds=(0, 1), device=opponent.device)
    return wrapped


@singledispatch
def translate(spec: Attack, question: Question) -> Any:
    """Foolbox's attack for ``spec`` at the eps of ``question``.

    Raises NotImplementedError if Foolbox has none.
    """
    raise NotImplementedError(f"foolbox has no attack '{spec.attack}'")


@translate.register
def _(spec: Fgsm, question: Question) -> Any:
    # Foolbox's FGM classes are this descent with one step of size eps, but refuse a target.
    attack = _DESCENT[spec.norm](rel_stepsize=1.0, abs_stepsize=None, steps=1, random_start=spec.random_start)
    return _begun(attack, spec, question)


def _begun(attack: Any, spec: Fgsm | Pgd | Bim, question: Question) -> Any:
    if spec.random_start:
        attack.start = random_start(question, spec.norm)
    else:
        attack.first = question.shared.gradient
    return attack


@translate.register(Pgd)
@translate.register(Bim)
def _(spec: Pgd | Bim, question: Question) -> Any:
    attack = _DESCENT[spec.norm](
        rel_stepsize=1.0,
        abs_stepsize=spec.step_at(question.eps),
        steps=spec.steps,
        random_start=spec.random_start,
    )
    return _begun(attack, spec, question)


@translate.register
def _(spec: MiFgsm, question: Question) -> Any:
    attack = _MOMENTUM[spec.norm](
        momentum=spec.decay, rel_stepsize=1.0, abs_stepsize=spec.step_at(question.eps), steps=spec.steps,
        random_start=spec.random_start,
    )  # fmt: skip
    if spec.random_start:
        attack.start = random_start(question, spec.norm)
    return attack


@translate.register
def _(spec: DeepFool, _question: Question) -> Any:
    attack = {"l2": fb.L2DeepFoolAttack, "linf": fb.LinfDeepFoolAttack}[spec.norm]
    return attack(steps=spec.steps, candidates=spec.candidates, overshoot=spec.overshoot, loss="logits")


# Foolbox's CW and EAD would stop early once the loss summed over the batch stalls: an answer would depend on
# its company.


@translate.register
def _(spec: CarliniWagner, _question: Question) -> Any:
    return fb.L2CarliniWagnerAttack(
        binary_search_steps=spec.binary_search_steps, steps=spec.steps, stepsize=spec.step_size,
        confidence=spec.confidence, initial_const=spec.initial_const, abort_early=False,
    )  # fmt: skip


@translate.register
def _(spec: Ead, _question: Question) -> Any:
    return fb.EADAttack(
        binary_search_steps=spec.binary_search_steps, steps=spec.steps, initial_stepsize=spec.step_size,
        confidence=spec.confidence, initial_const=spec.initial_const, regularization=spec.regularization,
        decision_rule="L1" if spec.decision_rule == "l1" else "EN", abort_early=False,
    )  # fmt: skip


@translate.register
def _(spec: Ddn, _question: Question) -> Any:
    return fb.DDNAttack(init_epsilon=spec.initial_norm, steps=spec.steps, gamma=spec.gamma)


@translate.register
def _(spec: Fmn, _question: Question) -> Any:
    return _FMN[spec.norm](
        steps=spec.steps, max_stepsize=spec.step_size, min_stepsize=spec.min_step_size, gamma=spec.gamma,
        init_attack=None, binary_search_steps=10,
    )  # fmt: skip


@translate.register
def _(spec: BrendelBethge, question: Question) -> Any:
    attack = {
        "linf": fb.LinfinityBrendelBethgeAttack, "l2": fb.L2BrendelBethgeAttack,
        "l1": fb.L1BrendelBethgeAttack, "l0": fb.L0BrendelBethgeAttack,
    }[spec.norm]  # fmt: skip
    return attack(
        init_attack=None, overshoot=spec.overshoot, steps=spec.steps,
        lr=rate_of_one(spec.learning_rate, len(question)), lr_decay=spec.learning_rate_decay,
        lr_num_decay=spec.learning_rate_decays, momentum=spec.momentum, tensorboard=False,
        binary_search_steps=spec.binary_search_steps,
    )  # fmt: skip


@translate.register
def _(spec: Boundary, _question: Question) -> Any:
    return fb.BoundaryAttack(
        init_attack=None, steps=spec.steps, spherical_step=spec.spherical_step, source_step=spec.source_step,
        source_step_convergance=1e-7, step_adaptation=spec.step_adaptation, tensorboard=False,
        update_stats_every_k=10,
    )  # fmt: skip


@translate.register
def _(spec: HopSkipJump, question: Question) -> Any:
    gamma = HOPSKIPJUMP_THRESHOLD * question.x[0].numel()
    return AskingAhead(
        init_attack=None, steps=spec.steps, initial_gradient_eval_steps=spec.initial_evaluations,
        max_gradient_eval_steps=spec.max_evaluations, stepsize_search="geometric_progression", gamma=gamma,
        tensorboard=False, constraint=spec.norm,
    )  # fmt: skip


@translate.register
def _(spec: SaltAndPepper, _question: Question) -> Any:
    return fb.SaltAndPepperNoiseAttack(steps=spec.steps, across_channels=spec.across_channels, channel_axis=1)


@translate.register
def _(spec: Noise, _question: Question) -> Any:
    attack = {
        ("linf", "uniform"): _LinfNoise,
        ("l2", "uniform"): fb.L2ClippingAwareRepeatedAdditiveUniformNoiseAttack,
        ("l2", "gaussian"): fb.L2ClippingAwareRepeatedAdditiveGaussianNoiseAttack,
    }[spec.norm, spec.distribution]
    return attack(repeats=spec.repeats, check_trivial=False)


@translate.register
def _(spec: Spatial, question: Question) -> Any:
    return fb.SpatialAttack(
        max_translation=question.eps * question.x.shape[-1], max_rotation=spec.max_rotation,
        num_translations=spec.shifts, num_rotations=spec.rotations, grid_search=True, random_steps=0,
    )  # fmt: skip
