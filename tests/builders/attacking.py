"""Attacks as tests put them: declared like in a suite, run through one library on given samples."""

from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from adapters.classifier import Classifier
from adapters.images import ImageSet
from bench.attacks.library import agreement
from bench.attacks.registry import BOTH, Carrier, libraries, missing
from bench.attacks.spec import Attack, AttackSpec, carriers_of, libraries_of, pairing_of
from bench.engine.plan import Cell, Unit
from bench.engine.runner import make_target, run_unit
from bench.ids import ModelId
from bench.store.records import Records
from tests.builders.linear import WEIGHT, margins

W = np.abs(WEIGHT.double().numpy())
GAIN = {"linf": W.sum(), "l2": np.linalg.norm(W), "l1": W.max()}
"""How far the best perturbation of size 1 moves the linear model's margin: the dual norm of its weights."""


DEFAULT = ("foolbox", "art")
INSTALLED = tuple(name for name in libraries() if missing(name) is None)


def through(spec: Attack) -> list[str]:
    """The installed libraries that have ``spec``; "both" for an ensemble."""
    return [carrier for carrier in carriers_of(spec) if carrier in (*INSTALLED, BOTH)]


def pairs_of(spec: Attack) -> list[tuple[str, str, str]]:
    """Every two installed libraries that have ``spec``, and how far they are to agree."""
    own = [library for library in libraries_of(spec) if library in INSTALLED]
    return [(a, b, agreement(pairing_of(spec, a), pairing_of(spec, b))) for a, b in combinations(own, 2)]


def spec(**declared: Any) -> Attack:
    attack: Attack = TypeAdapter(AttackSpec).validate_python(declared)
    return attack


def make_unit(attack: Attack, carrier: Carrier, eps: list[float]) -> Unit:
    return Unit(
        ModelId("m", 0), attack, carrier, tuple(Cell(Fraction(str(e)), str(e)) for e in eps), stream=3
    )


def run(
    attack: Attack,
    carrier: Carrier,
    classifier: Classifier,
    samples: ImageSet,
    eps: list[float],
    batch_size: int = 64,
) -> list[Records]:
    return run_unit(make_unit(attack, carrier, eps), make_target(classifier, samples, batch_size)).records


def correct(samples: ImageSet) -> npt.NDArray[np.bool_]:
    """Which samples the linear model predicts correctly."""
    return np.asarray((margins(samples.images) > 0) == samples.labels)
