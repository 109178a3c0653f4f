"""Defended linear models through the whole engine: closed forms for what naive and adaptive attacks reach."""

import math

import numpy as np
import pytest
import torch

from adapters.defences.bit_depth import BitDepth
from adapters.defences.gaussian_noise import GaussianNoise
from adapters.defences.random_switch import RandomlySwitched
from adapters.defences.ways import REPEAT, Way
from bench.store.cellfile import decode, encode
from tests.builders.attacking import spec
from tests.builders.defended import attacked, defended, grey, linear

LEVEL = 1 / 15
"""Between two levels of 4 bits."""
W = torch.tensor([1.0, -2.0, 0.5, 1.5, -1.0, 2.0, -0.5, 1.0, 0.75, -1.25, 0.25, -0.75])
BPDA, EOT = Way("bpda", "mean-loss"), Way("eot", "mean-loss")
PGD = {"attack": "pgd", "steps": 20, "rel_step_size": 0.25}


@pytest.mark.parametrize("library", ["foolbox", "art"])
def test_a_quantised_linear_model_falls_to_bpda_at_the_undefended_eps(library: str) -> None:
    """Values a hair below the middle of two levels lose a level at each 1 / 15 that they are lowered by.

    Two levels are more than the quantised margin, one is not; the undefended margin is what 2 / 15 takes
    away.
    """
    weight, start = W.abs(), (8.5 - 0.001) / 15
    image = grey(3, [start - 0.5] * 12)
    bias = (2 * LEVEL - start - 1e-5) * float(weight.sum())
    plain, quantised = linear(weight, bias), defended(BitDepth(bits=4), around=[linear(weight, bias)])
    for eps, falls in (("1/15", False), ("29/225", False), ("2/15", True)):
        undefended, _ = attacked(plain, image, spec(**PGD), library, eps)
        adaptive, _ = attacked(quantised, image, spec(**PGD), library, eps, way=BPDA)
        naive, _ = attacked(quantised, image, spec(**PGD), library, eps)
        assert undefended.records[0].success.tolist() == [falls] * 3
        assert adaptive.records[0].success.tolist() == [falls] * 3
        assert not naive.records[0].success.any(), "its own gradient is zero"


@pytest.mark.parametrize("library", ["foolbox", "art"])
def test_a_noisy_linear_model_is_right_as_often_as_the_normal_integral(library: str) -> None:
    """Noise of sigma per value moves w.x + b by sigma |w|: right with chance Phi(margin / (sigma |w|))."""
    sigma, eps, image = 0.2, 1 / 20, grey(40, [0.0] * 12)
    margin = eps * float(W.abs().sum()) + 0.1
    model = defended(GaussianNoise(sigma=sigma), around=[linear(W, margin - 0.5 * float(W.sum()))])
    result, target = attacked(model, image, spec(**PGD), library, "1/20", way=EOT)
    records, spread = result.records[0], sigma * float(W.norm())
    for right, left in (
        (records.clean_right, margin),
        (records.adv_right, margin - eps * float(W.abs().sum())),
    ):
        assert right is not None
        probability = 0.5 * (1 + math.erf(left / spread / math.sqrt(2)))
        error = math.sqrt(probability * (1 - probability) / (target.judging.judge * 40))
        assert float(right.mean()) == pytest.approx(probability, abs=4 * error)
        assert float(right.std()) == pytest.approx(error * math.sqrt(40), rel=0.5), (
            "each sample has draws of its own"
        )


def test_passes_through_every_member_and_draw_are_counted() -> None:
    image = grey(5, [0.0] * 12)
    switch = defended(RandomlySwitched(), around=[linear(W, 9.0), linear(W, 8.0)])
    steps = spec(attack="pgd", steps=4, rel_step_size=0.25)
    naive, _ = attacked(switch, image, steps, "foolbox", "1/50")
    mean, _ = attacked(switch, image, steps, "foolbox", "1/50", way=Way("mean-loss", "mean-loss"))
    assert (naive.forwards, naive.backwards) == (20, 20)
    assert (mean.forwards, mean.backwards) == (40, 40)
    noisy, _ = attacked(
        defended(GaussianNoise(), around=[linear(W, 9.0)]), image, steps, "foolbox", "1/50", way=EOT, draws=8
    )
    assert (noisy.forwards, noisy.backwards) == (160, 160)


def test_the_exact_expectation_is_over_members() -> None:
    """One member is right on all images and one on none: expected correctness is the first's probability."""
    model = defended(
        RandomlySwitched(probabilities=(0.3, 0.7)), around=[linear(W * 0, 1.0), linear(W * 0, -1.0)]
    )
    result, _ = attacked(
        model, grey(4, [0.0] * 12), spec(attack="fgsm"), "foolbox", "1/50", way=Way("p", "mean-probability")
    )
    records = result.records[0]
    assert records.clean_right.tolist() == records.adv_right.tolist() == pytest.approx([0.3] * 4)  # type: ignore[union-attr]


def test_queries_of_a_repeating_attack_are_counted_each() -> None:
    model = defended(GaussianNoise(sigma=0.01), around=[linear(W, 50.0)])
    noise = spec(attack="noise", repeats=5)
    once, _ = attacked(model, grey(2, [0.0] * 12), noise, "foolbox", "1/50")
    repeated, _ = attacked(model, grey(2, [0.0] * 12), noise, "foolbox", "1/50", way=REPEAT, draws=7)
    queries = [result.records[0].queries for result in (once, repeated)]
    assert queries[0] is not None
    assert queries[1] is not None
    assert queries[1].tolist() == (7 * queries[0]).tolist()
    assert queries[0].min() > 0


@pytest.mark.parametrize("way", [None, EOT])
def test_a_sample_meets_the_same_draws_in_any_company(way: Way | None) -> None:
    image = grey(6, [0.0] * 12)
    model = defended(GaussianNoise(sigma=0.3), around=[linear(W, 0.3 - 0.5 * float(W.sum()))])
    together, _ = attacked(model, image, spec(**PGD), "foolbox", "1/20", way=way)
    alone, _ = attacked(model, image.take(np.array([4])), spec(**PGD), "foolbox", "1/20", way=way)
    for name in ("clean_right", "adv_right", "adv_choice", "linf"):
        assert getattr(alone.records[0], name)[0] == getattr(together.records[0], name)[4]


def test_a_cell_keeps_the_chances() -> None:
    model = defended(GaussianNoise(sigma=0.3), around=[linear(W, 0.3 - 0.5 * float(W.sum()))])
    records = attacked(model, grey(6, [0.0] * 12), spec(**PGD), "foolbox", "1/20")[0].records[0]
    read, _ = decode(encode(records, {"key": "k", "norm": "linf", "eps": "1/20"}))
    for name in ("clean_right", "adv_right", "adv_choice"):
        np.testing.assert_array_equal(getattr(read, name), getattr(records, name))
