"""Trust checks of defended models: their cost, and that an attack blind to the defence is named once."""

from fractions import Fraction

import numpy as np
import pytest
import torch

import bench.trust.defended
from adapters.defences.base import Defence
from adapters.defences.bit_depth import BitDepth
from adapters.defences.gaussian_noise import GaussianNoise
from adapters.defences.random_switch import RandomlySwitched
from adapters.defences.ways import Way
from bench.engine.plan import Cell, Unit
from bench.engine.runner import make_target
from bench.ids import ModelId
from bench.store.evidence import Evidence
from bench.trust.defended import Examination, examine_defended
from bench.trust.effort import Effort, plan_effort
from bench.trust.examine import Subject
from tests.builders.attacking import spec
from tests.builders.defended import JUDGING, defended, grey, linear

W = torch.linspace(0.5, 1.5, 12)
SPENT = 10**6
DRAWS = 8


@pytest.mark.parametrize(
    ("defence", "way", "members", "price"),
    [
        (BitDepth(), Way("bpda", "mean-loss"), 1, 1),
        (GaussianNoise(), Way("eot", "mean-loss"), 1, DRAWS),
        (RandomlySwitched(), Way("mean-loss", "mean-loss"), 3, 3),
    ],
)
def test_a_check_s_pass_costs_as_many_as_one_answer_takes(
    defence: Defence, way: Way, members: int, price: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = defended(defence, around=[linear(W, 9.0)] * members)
    target = make_target(model, grey(6, list(np.zeros(12))), 64, judging=JUDGING)
    unit = Unit(
        ModelId("m", 0),
        spec(attack="pgd"),
        "foolbox",
        (Cell(Fraction(1, 50), "k"),),
        way=way,
        role="adaptive",
    )
    planned: list[Effort] = []

    def plan(_: Subject, effort: Effort) -> list[Evidence]:
        planned.append(effort)
        return []

    monkeypatch.setattr(bench.trust.defended, "examine", plan)
    examine_defended(Subject(model, target, Fraction(1, 50)), Examination({unit: SPENT}, "fast", DRAWS))
    assert planned == [plan_effort("fast", {unit: SPENT // price}, 6)]
