"""What is drawn at random is the sample's: equal through both libraries, for any batch, gone afterwards."""

import random
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from adapters.classifier import Classifier
from adapters.images import ImageSet
from bench.attacks.question import Question
from bench.attacks.randomness import global_streams, random_start
from tests.builders.attacking import run, spec, through

N = 400


def question(count: int, first: int = 0, **more: float) -> Question:
    x = torch.full((count, 3, 4, 4), 0.5)
    ids = tuple(f"s/{first + i}" for i in range(count))
    return Question(x, torch.zeros(count, dtype=torch.int64), ids, eps=0.1, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("norm", "order", "power"), [("linf", np.inf, 48), ("l2", 2, 48), ("l1", 1, 48)])
def test_starts_are_uniform_in_the_ball(norm: str, order: float, power: int) -> None:
    offsets = (random_start(question(N), norm) - 0.5).flatten(1).double().numpy()
    radius = np.linalg.norm(offsets, ord=order, axis=1) / 0.1
    assert radius.max() <= 1 + 1e-5
    assert (
        kstest(radius**power, "uniform").pvalue > 0.01
    )  # in n dimensions the radius to the n-th power is uniform
    assert abs(offsets.mean()) < 4 * offsets.std() / np.sqrt(offsets.size)


def test_starts_belong_to_the_sample_and_the_restart() -> None:
    whole = random_start(question(6), "linf")
    assert torch.equal(whole[4:], random_start(question(2, first=4), "linf"))
    assert not torch.equal(whole, random_start(question(6, restart=1), "linf"))
    assert not torch.equal(whole, random_start(question(6, seed=1), "linf"))


@pytest.mark.parametrize(
    "declared",
    [
        {"attack": "fgsm"},
        {"attack": "pgd", "steps": 3, "rel_step_size": 0.2},
        {"attack": "mi-fgsm", "steps": 3},
    ],
)
def test_random_starts_keep_exact_pairs_bitwise_equal(
    declared: dict[str, Any], linear: Classifier, samples: ImageSet
) -> None:
    attack = spec(**declared, random_start=True, restarts=2)
    first, *others = [run(attack, library, linear, samples, [0.02, 0.05]) for library in through(attack)]
    still = run(spec(**declared), "art", linear, samples, [0.02, 0.05])
    assert others
    for a, *same, c in zip(first, *others, still, strict=True):
        for b in same:
            np.testing.assert_array_equal(a.adv_prob_true, b.adv_prob_true)
            np.testing.assert_array_equal(a.linf, b.linf)
        assert not np.array_equal(a.adv_prob_true, c.adv_prob_true), "the start must matter"


@pytest.mark.parametrize("library", through(spec(attack="pgd")))
def test_random_starts_do_not_depend_on_the_batch(
    library: str, linear: Classifier, samples: ImageSet
) -> None:
    attack = spec(attack="pgd", steps=3, random_start=True, restarts=3)
    whole, parts = (run(attack, library, linear, samples, [0.03], batch_size=size)[0] for size in (64, 7))
    np.testing.assert_array_equal(whole.success, parts.success)
    np.testing.assert_allclose(whole.linf, parts.linf, atol=1e-7)


def test_restarts_only_ever_help(linear: Classifier, samples: ImageSet) -> None:
    declared = {"attack": "fgsm", "norm": "linf", "random_start": True}
    one = run(spec(**declared), "art", linear, samples, [0.05])[0]
    many = run(spec(**declared, restarts=5), "art", linear, samples, [0.05])[0]
    assert not (one.success & ~many.success).any()
    assert (many.adv_prob_true <= one.adv_prob_true + 1e-7)[~many.success].all()


def test_global_state_is_as_before() -> None:
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    torch.manual_seed(1)
    filters = list(warnings.filters)
    expected = np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state()  # type: ignore[index]  # noqa: NPY002
    with global_streams(7):
        drawn = np.random.uniform(), random.random(), float(torch.rand(1))  # noqa: NPY002
        warnings.simplefilter("ignore")
    with global_streams(7):
        assert drawn == (np.random.uniform(), random.random(), float(torch.rand(1)))  # noqa: NPY002
    assert np.random.get_state()[1].tolist() == expected[0]  # type: ignore[index]  # noqa: NPY002
    assert random.getstate() == expected[1]
    assert torch.equal(torch.get_rng_state(), expected[2])
    assert list(warnings.filters) == filters
