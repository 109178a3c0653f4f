"""ART's defects. Its float64 images on numpy 2 become float32 where every image passes: in CountedAccess."""

from collections.abc import Callable
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from art.attacks.evasion import AutoProjectedGradientDescent, GeoDA, HopSkipJump
from art.attacks.evasion.projected_gradient_descent.projected_gradient_descent_pytorch import (
    ProjectedGradientDescentPyTorch,
)
from torch import Tensor, nn

from bench.attacks.rebinding import AttributeOverride, rebound
from bench.attacks.shared import Once


class StartingPgd(ProjectedGradientDescentPyTorch):  # type: ignore[misc]
    """ART's PGD from a given start: its own is drawn by position, so that it changes with the batch.

    Without a start, the direction of the first step is the same at every eps: it is in ``gradient``. The
    images stay where they are; ART's ``generate`` brings each batch through numpy, and predicts it twice to
    log a rate.
    """

    start: Tensor
    gradient: Once[Any] | None = None

    def descend(self, x: Tensor, y: Tensor) -> Tensor:
        """ART's steps from ``x`` (N x C x H x W), away from ``y`` (N), or towards it if targeted."""
        labels = nn.functional.one_hot(y, self.estimator.nb_classes).float()
        adversarial, momentum = x, torch.zeros_like(x)
        for step in range(self.max_iter):
            self._i_max_iter = step
            start = step == 0 and self.num_random_init > 0
            adversarial = self._compute_pytorch(
                adversarial, x, labels, None, self.eps, self.eps_step, start, momentum
            )
        return adversarial

    def _compute_pytorch(
        self, x: Any, x_init: Any, y: Any, mask: Any, eps: Any, eps_step: Any, random_init: bool, *rest: Any
    ) -> Any:
        """One step; the first is taken from ``start``."""
        return super()._compute_pytorch(
            self.start if random_init else x, x_init, y, mask, eps, eps_step, False, *rest
        )

    def _compute_perturbation_pytorch(self, *step: Any) -> Any:
        """The direction of a step. Momentum changes with every call."""
        compute = super()._compute_perturbation_pytorch
        again = self._i_max_iter == 0 and not self.num_random_init and self.decay is None
        return self.gradient.recall(lambda: compute(*step)) if again and self.gradient else compute(*step)


class StartingApgd(AutoProjectedGradientDescent):  # type: ignore[misc]
    """ART's APGD from a given start, for the same reason; it has no method to override for that.

    It first asks which samples are predicted correctly, and attacks these alone: of a random model, another
    choice with every draw. All that it is given are to be attacked, each from its own start.
    """

    start_offset: npt.NDArray[np.float32]
    _estimator: Any

    def generate(self, x: Any, y: Any = None, **kwargs: Any) -> Any:
        """ART's own ``generate``, whose random offset is ``start_offset`` (N x values)."""
        run = rebound(AutoProjectedGradientDescent.generate, random_sphere=lambda *_: self.start_offset)
        asked = self._estimator
        self._estimator = AttributeOverride(asked, predict=_first_all_right(asked, np.asarray(y)))
        try:
            return run(self, x, y, **kwargs)
        finally:
            self._estimator = asked


def _first_all_right(estimator: Any, labels: npt.NDArray[np.int64]) -> Callable[..., npt.NDArray[np.float32]]:
    """What ``estimator`` predicts, but first that each sample is of its class in ``labels`` (N)."""
    first = iter([np.eye(estimator.nb_classes, dtype=np.float32)[labels]])

    def predict(*asked: Any, **how: Any) -> npt.NDArray[np.float32]:
        said: npt.NDArray[np.float32] = estimator.predict(*asked, **how)
        return next(first, said)

    return predict


class FinishedHopSkipJump(HopSkipJump):  # type: ignore[misc]
    """ART's HopSkipJump with a search back to the boundary at its end, as Chen et al. have it.

    ART's ends with a step away from it.
    """

    def _attack(
        self,
        initial_sample: Any,
        original_sample: Any,
        target: int,
        mask: Any,
        clip_min: float,
        clip_max: float,
    ) -> Any:
        """ART's own attack, then its own search along the line to the image."""
        last = super()._attack(initial_sample, original_sample, target, mask, clip_min, clip_max)
        return self._binary_search(
            current_sample=last, original_sample=original_sample, target=target, norm=self.norm,
            clip_min=clip_min, clip_max=clip_max,
        )  # fmt: skip


FIRST_QUERIES = (50, 80)
"""ART's bounds on the queries of GeoDA's first step."""


class CleanGeoDa(GeoDA):  # type: ignore[misc]
    """ART's GeoDA without its defects.

    ART's needs ``numpy.mat`` (gone from numpy 2), leaves files behind, and for some parameters never starts.
    """

    start: npt.NDArray[np.float32] | None = None

    _generate_2d_dct_basis = staticmethod(  # reckoned once: ART keeps it in its file
        lru_cache(maxsize=2)(rebound(GeoDA._generate_2d_dct_basis, np=AttributeOverride(np, mat=np.asmatrix)))
    )

    def generate(self, x: Any, y: Any = None, **kwargs: Any) -> Any:
        """ART's own ``generate``, which finds no file to read and writes none."""
        nowhere = SimpleNamespace(path=SimpleNamespace(exists=lambda _: False))
        run = rebound(GeoDA.generate, np=AttributeOverride(np, save=lambda *_: None), os=nowhere)
        return run(self, x, y, **kwargs)

    def _find_random_adversarial(self, x: Any, y: Any) -> Any:  # noqa: ARG002
        """The given start; ART's own search for one may never end."""
        if self.start is None:
            raise ValueError(
                "geoda starts from an image of another class, and the model takes all samples for the"
                " same one"
            )
        return self.start

    def _opt_query_iteration(self, var_nq: int, var_t: int, lambda_param: float) -> tuple[list[int], int]:
        """Queries of each step, and how many steps.

        They are ART's, which wants 50 to 80 in the first, or else the fewest beyond 80.
        """
        steps = max(var_t, 1)
        while (first := _queries(var_nq, steps, lambda_param)[0]) > FIRST_QUERIES[1]:
            if _queries(var_nq, steps + 1, lambda_param)[0] < FIRST_QUERIES[0]:
                break
            steps += 1
        while first < FIRST_QUERIES[0] and steps > 1:
            steps -= 1
            first = _queries(var_nq, steps, lambda_param)[0]
        return _queries(var_nq, steps, lambda_param), steps


def _queries(total: int, steps: int, decay: float) -> list[int]:
    """``total`` queries over ``steps``, as Rahmati et al. (2020) give each step more than the one before."""
    weights = [decay ** (-2 * i / 3) for i in range(steps)]
    return [round(total * weight / sum(weights)) for weight in weights]


class Probabilities(nn.Module):
    """Scores as probabilities, which ART's SimBA insists on."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Softmax of the model's logits of ``x``."""
        probabilities: Tensor = self.model(x).softmax(1)
        return probabilities
