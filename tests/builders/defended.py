"""Linear models with defences around them: what an attacker can reach is known in closed form."""

from fractions import Fraction

import torch
from torch import Tensor

from adapters.classifier import Classifier
from adapters.defences.base import Defence
from adapters.defences.defended import Defended
from adapters.defences.stack import Stack
from adapters.defences.ways import Way
from adapters.images import ImageSet
from bench.attacks.attack import Attack
from bench.engine.adaptive_target import adaptive_target
from bench.engine.judging import Judging
from bench.engine.plan import Cell, Unit
from bench.engine.runner import Target, UnitResult, make_target, run_unit
from bench.ids import ModelId
from tests.builders.linear import Linear

JUDGING = Judging(judge=256, choose=64, seed=0)


def linear(weight: Tensor, bias: float = 0.0) -> Classifier:
    """Logits (0, w.x + b)."""
    return Classifier(Linear(weight, bias), mean=(0, 0, 0), std=(1, 1, 1), num_classes=2).eval()


def defended(*defences: Defence, around: list[Classifier]) -> Defended:
    """``defences`` around models named a, b, ..."""
    names = tuple("abcdef"[: len(around)])
    return Defended(Stack(defences, names), around).eval()


def attacked(
    model: Classifier,
    samples: ImageSet,
    attack: Attack,
    library: str,
    eps: str,
    *,
    way: Way | None = None,
    draws: int = 16,
) -> tuple[UnitResult, Target]:
    """One cell of ``attack`` on ``model``, adapted in ``way``."""
    target = make_target(model, samples, 64, judging=JUDGING)
    unit = Unit(ModelId("m", 0), attack, library, (Cell(Fraction(eps), "k"),), way=way)
    return run_unit(unit, target if way is None else adaptive_target(target, way, draws)), target


def grey(count: int, shift: list[float]) -> ImageSet:
    """``count`` images of 3 x 2 x 2 around grey, each value moved by ``shift``; all are of class 1."""
    import numpy as np

    x = torch.full((count, 12), 0.5) + torch.tensor(shift)
    images = x.reshape(count, 3, 2, 2).numpy().astype(np.float32)
    return ImageSet(
        images, np.ones(count, np.int64), tuple(f"grey/{i}" for i in range(count)), ("low", "high")
    )
