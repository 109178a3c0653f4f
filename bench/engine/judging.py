"""What a model says of images when it is judged.

It is its one answer, or how often it is right where it may answer otherwise.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from adapters.classifier import Classifier, Predictions, predict
from adapters.defences.defended import Defended, expected
from bench.suite.suite import Suite


@dataclass(frozen=True)
class Judging:
    """How many draws judge random models, how many others choose the worst attack, and the seed of both."""

    judge: int
    choose: int
    seed: int


ONE_ANSWER = Judging(1, 1, 0)
"""Of a model that is not random, or whose every answer can be asked for."""


def judging_of(suite: Suite) -> Judging:
    """As ``suite`` asks for it."""
    return Judging(suite.draws.judge, suite.draws.choose, suite.seed)


def judge(model: Classifier, x: Tensor, y: Tensor, ids: Sequence[str], how: Judging) -> Predictions:
    """What ``model`` says of ``x`` (N x 3 x H x W) with labels ``y`` (N) and sample ``ids``, in float32."""
    if not (isinstance(model, Defended) and model.stack.random):
        return predict(model, x, y)
    found = _expected(model, x, y, ids, "judge", how.judge, how.seed)
    if not model.stack.sampled:
        return replace(found, choice=found.right)
    return replace(found, choice=_expected(model, x, y, ids, "choose", how.choose, how.seed).right)


def _expected(
    model: Defended, x: Tensor, y: Tensor, ids: Sequence[str], purpose: str, draws: int, seed: int
) -> Predictions:
    return expected(model, x, y, [[_seed(purpose, seed, i, draw) for i in ids] for draw in range(draws)])


def _seed(purpose: str, seed: int, sample: str, draw: int) -> int:
    """Of one draw for one sample: no attack, which draws by calls, ever has it."""
    return int.from_bytes(hashlib.sha256(f"{purpose}/{seed}/{draw}/{sample}".encode()).digest()[:8], "big")
