"""Black-box attacks get what their threat model allows, and every query is counted for its sample."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from adapters.classifier import Classifier
from adapters.images import ImageSet
from bench.attacks.access import AccessError, BlackBoxAccess, Trace
from bench.attacks.question import Question
from bench.attacks.registry import Carrier
from bench.attacks.translation import Opponent, make_craft
from bench.engine.runner import make_target, run_unit
from tests.builders.attacking import GAIN, INSTALLED, make_unit, run, spec, through
from tests.builders.linear import margins


def test_decisions_hide_scores(linear: Classifier) -> None:
    x = torch.rand(5, 3, 2, 2)
    shown = BlackBoxAccess(linear, decisions=True)(x)
    assert torch.equal(shown, torch.eye(2)[linear(x).argmax(1)])
    assert torch.equal(BlackBoxAccess(linear, decisions=False)(x), linear(x))


@pytest.mark.parametrize("decisions", [True, False])
def test_asking_for_a_gradient_raises(decisions: bool, linear: Classifier) -> None:
    x = torch.rand(1, 3, 2, 2, requires_grad=True)
    with pytest.raises(AccessError, match="gradient"):
        BlackBoxAccess(linear, decisions=decisions)(x)


def test_a_gradient_attack_cannot_run_on_black_box_access(linear: Classifier, samples: ImageSet) -> None:
    question = Question(
        torch.from_numpy(samples.x[:2]), torch.from_numpy(samples.labels[:2]), ("a", "b"), eps=0.1
    )
    for library in through(spec(attack="pgd")):
        opponent = Opponent(BlackBoxAccess(linear, decisions=False), (3, 2, 2), 2, "cpu")
        with pytest.raises(AccessError):
            make_craft(spec(attack="pgd"), library, opponent)(question)


def test_queries_are_numbered_until_the_first_adversarial_within_eps() -> None:
    x = torch.full((1, 3, 2, 2), 0.5)
    trace = Trace(x, torch.tensor([0]), "linf")
    trace.note(torch.cat([x + 0.4, x + 0.3, x + 0.1]), torch.tensor([1, 1, 0]))
    trace.note(torch.cat([x + 0.35, x + 0.2]), torch.tensor([1, 1]))
    assert [trace.queries_at(eps) for eps in (0.5, 0.31, 0.21, 0.15)] == [1, 2, 5, 5]
    assert trace.queries == 5


QUICK = [
    ({"attack": "noise", "repeats": 4}, "foolbox"),
    ({"attack": "square", "steps": 20, "p_init": 0.2}, "art"),
    *(
        [({"attack": "square", "steps": 20, "p_init": 0.2}, "torchattacks")]
        if "torchattacks" in INSTALLED
        else []
    ),
    ({"attack": "boundary", "steps": 40}, "foolbox"),
    ({"attack": "boundary", "steps": 40}, "art"),
    ({"attack": "hopskipjump", "steps": 1, "initial_evaluations": 10}, "foolbox"),
    ({"attack": "hopskipjump", "steps": 1, "initial_evaluations": 10}, "art"),
]


@pytest.mark.parametrize(
    ("declared", "carrier"), QUICK, ids=lambda v: v if isinstance(v, str) else v["attack"]
)
def test_results_and_queries_are_the_samples_own(
    declared: dict[str, Any], carrier: Carrier, linear: Classifier, samples: ImageSet
) -> None:
    """Twice the same in any batch: streams are the sample's (only ART's decision attacks have no seed)."""
    few = samples.take(np.arange(6))
    attack = spec(**declared)
    whole, parts = (run(attack, carrier, linear, few, [0.05, 0.2], batch_size=size) for size in (6, 4))
    for a, b in zip(whole, parts, strict=True):
        for column in ("adv_prob_true", "queries", "l2"):
            np.testing.assert_array_equal(getattr(a, column), getattr(b, column))
        assert a.queries is not None
        assert a.queries.min() > 0


def test_geoda_says_what_it_starts_from(linear: Classifier, samples: ImageSet) -> None:
    alike = samples.take(np.flatnonzero(margins(samples.images) > 0))
    with pytest.raises(
        ValueError, match="geoda starts from an image of another class, and the model takes all samples"
    ):
        run(spec(attack="geoda", queries=250), "art", linear, alike, [1.0])


def test_all_queries_are_counted(linear: Classifier, samples: ImageSet) -> None:
    attack = spec(attack="noise", repeats=7)
    sturdy = samples.take(np.argsort(-np.abs(margins(samples.images[:48])))[:5])
    result = run_unit(make_unit(attack, "foolbox", [0.001]), make_target(linear, sturdy, 5))
    assert result.records[0].queries is not None
    assert result.records[0].queries.tolist() == [7] * 5
    assert (result.forwards, result.backwards) == (35, 0)


def test_square_asks_once_a_step(linear: Classifier, samples: ImageSet) -> None:
    """ART by itself asks again about what it has been told: 3 x 20 + 3 times."""
    sturdy = samples.take(np.argsort(-np.abs(margins(samples.images[:48])))[:3])
    records = run(spec(attack="square", steps=20, p_init=0.2), "art", linear, sturdy, [0.001])[0]
    assert records.queries is not None
    assert records.queries.max() <= 22, (
        "the image, the first stripes, and 20 squares, or fewer where one comes again"
    )


def test_success_over_queries_rises_with_eps(linear: Classifier, samples: ImageSet) -> None:
    records = run(
        spec(attack="hopskipjump", steps=2), "foolbox", linear, samples.take(np.arange(5)), [0.05, 0.2, 1.0]
    )
    queries = [r.queries for r in records]
    for nearer, farther in pairwise(queries):
        assert nearer is not None
        assert farther is not None
        assert (nearer >= farther).all()
    optimum = np.abs(margins(samples.images[:5])) / GAIN["l2"]
    assert not (records[0].success & (optimum > 0.05)).any()
