"""Attacks as tests put them: declared like in a suite, run through one library on given samples."""

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from adapters.classifier import Classifier
from adapters.images import ImageSet
from bench.attacks.contract import Carrier
from bench.attacks.spec import Attack, AttackSpec
from bench.engine.plan import Cell, Unit
from bench.engine.runner import make_target, run_unit
from bench.ids import ModelId
from bench.store.records import Records
from tests.builders.linear import WEIGHT, margins

W = np.abs(WEIGHT.double().numpy())
GAIN = {"linf": W.sum(), "l2": np.linalg.norm(W), "l1": W.max()}
"""By how much the best perturbation of size 1 moves the linear model's margin: the dual norm of its weights."""


def spec(**declared: Any) -> Attack:
    attack: Attack = TypeAdapter(AttackSpec).validate_python(declared)
    return attack


def make_unit(attack: Attack, carrier: Carrier, eps: list[float]) -> Unit:
    return Unit(ModelId("m", 0), attack, carrier, tuple(Cell(Fraction(str(e)), str(e)) for e in eps), stream=3)


def run(
    attack: Attack, carrier: Carrier, classifier: Classifier, samples: ImageSet, eps: list[float], batch_size: int = 64
) -> list[Records]:
    return run_unit(make_unit(attack, carrier, eps), make_target(classifier, samples, batch_size)).records


def correct(samples: ImageSet) -> npt.NDArray[np.bool_]:
    """Which samples the linear model predicts correctly."""
    return np.asarray((margins(samples.images) > 0) == samples.labels)
