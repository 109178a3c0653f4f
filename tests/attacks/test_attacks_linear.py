"""Attacks in every norm, through both libraries, against closed forms on the linear model."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.images import ImageSet
from bench.attacks.registry import Carrier, libraries
from bench.engine.runner import make_target, run_unit
from tests.builders.attacking import GAIN, W, correct, make_unit, pairs_of, run, spec, through
from tests.builders.linear import WEIGHT, linear_samples, margins

DENSE_L1 = (W**2).sum() / W.sum()
"""What Foolbox's l1 step gains, along the whole gradient; ART's goes along its largest value: the best."""
EPS: dict[str, list[float]] = {
    "linf": [0.02, 0.05, 0.1],
    "l2": [0.04, 0.12, 0.3],
    "l1": [0.05, 0.15, 0.3],
    "l0": [1, 2, 4],
}


KINDS: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
    ("fgsm", ("linf", "l2", "l1"), {}),
    ("fgsm", ("linf", "l2"), {"targeted": True}),
    ("bim", ("linf", "l2"), {}),
    ("mi-fgsm", ("linf", "l2"), {}),
    ("pgd", ("linf", "l2", "l1"), {"steps": 10, "rel_step_size": 0.25}),
    ("pgd", ("linf",), {"steps": 20, "rel_step_size": 0.25, "random_start": True}),
    ("pgd", ("linf", "l2", "l1"), {"steps": 10, "rel_step_size": 0.25, "targeted": True}),
]


def named(value: Any) -> str:
    return "-".join(map(str, value.values())) if isinstance(value, dict) else str(value)


FIXED = [{"attack": kind, "norm": norm, **more} for kind, norms, more in KINDS for norm in norms]


@pytest.mark.parametrize(
    ("declared", "library"), [(d, library) for d in FIXED for library in through(spec(**d))], ids=named
)
def test_success_is_the_closed_form(
    declared: dict[str, Any], library: Carrier, linear: Classifier, samples: ImageSet
) -> None:
    attack = spec(**declared)
    gain = DENSE_L1 if attack.norm == "l1" and library == "foolbox" else GAIN[attack.norm]
    eps = EPS[attack.norm]
    counts = []
    for e, records in zip(eps, run(attack, library, linear, samples, eps), strict=True):
        expected = correct(samples) & (np.abs(margins(samples.images)) < e * gain)
        np.testing.assert_array_equal(records.success, expected)
        assert getattr(records, attack.norm).max() <= e + 1e-6
        counts.append(int(expected.sum()))
    assert 0 < counts[0] < counts[-1], "the grid must tell the eps apart"


@pytest.mark.parametrize("declared", FIXED, ids=lambda d: "-".join(map(str, d.values())))
def test_exact_pairs_are_bitwise_equal_and_statistical_ones_nearly(
    declared: dict[str, Any], linear: Classifier, samples: ImageSet
) -> None:
    attack = spec(**declared)
    found = {library: run(attack, library, linear, samples, EPS[attack.norm]) for library in through(attack)}
    assert pairs_of(attack)
    for first, second, pairing in pairs_of(attack):
        for a, b in zip(found[first], found[second], strict=True):
            if pairing == "exact":
                np.testing.assert_array_equal(a.adv_prob_true, b.adv_prob_true)
                np.testing.assert_array_equal(a.l2, b.l2)
            elif pairing == "statistical":
                np.testing.assert_array_equal(a.success, b.success)
                np.testing.assert_allclose(a.adv_prob_true, b.adv_prob_true, rtol=1e-4)
            else:
                assert attack.norm == "l1"
                assert b.success.sum() > a.success.sum()


MINIMUM = {
    ("deepfool", "l2", "foolbox"): 1.03,
    ("deepfool", "l2", "art"): 1.03,
    ("deepfool", "linf", "foolbox"): 1.03,
    ("ddn", "l2", "foolbox"): 1.05,
    ("fmn", "linf", "foolbox"): 1.002,
    ("fmn", "l2", "foolbox"): 1.002,
    ("fmn", "l1", "foolbox"): 1.002,
    ("cw", "l2", "foolbox"): 1.15,
    ("ead", "l1", "foolbox"): 1.6,
}
"""How far above the optimum the median distance may lie."""


@pytest.mark.parametrize(("kind", "norm", "carrier"), MINIMUM)
def test_minimum_norm_attacks_find_the_boundary_and_nothing_nearer(
    kind: str, norm: str, carrier: Carrier, linear: Classifier, samples: ImageSet
) -> None:
    samples = samples.take(np.arange(16))
    records = run(spec(attack=kind, norm=norm), carrier, linear, samples, [1.0])[0]
    assert records.distance is not None
    optimum = np.abs(margins(samples.images)) / GAIN[norm]
    ratio = records.distance / optimum
    assert ratio.min() >= 1 - 1e-3
    assert np.median(ratio) <= MINIMUM[kind, norm, carrier]
    if kind == "fmn":
        assert ratio.max() <= MINIMUM[kind, norm, carrier], "also where the boundary is 2e-4 away"


@pytest.mark.slow  # it compiles its optimiser
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_brendel_bethge_finds_the_boundary_and_nothing_nearer(
    norm: str, linear: Classifier, samples: ImageSet
) -> None:
    samples = samples.take(np.arange(16))
    attack = spec(attack="brendel-bethge", norm=norm, steps=300, learning_rate=0.03)
    distance = run(attack, "foolbox", linear, samples, [1.0])[0].distance
    assert distance is not None
    ratio = distance / (np.abs(margins(samples.images)) / GAIN[norm])
    assert ratio.min() >= 1 - 1e-3
    assert np.median(ratio) <= 1.002


@pytest.mark.parametrize(
    ("declared", "more"),
    [
        ({"attack": "fmn"}, 0),
        pytest.param(
            {"attack": "brendel-bethge", "steps": 100, "learning_rate": 0.1}, 1, marks=pytest.mark.slow
        ),  # compiles
    ],
    ids=["fmn", "brendel-bethge"],
)
def test_attacks_in_l0_change_the_fewest_values(
    declared: dict[str, Any], more: int, linear: Classifier
) -> None:
    """They count values, and we the pixels that these lie in: never fewer than the fewest pixels with
    which it can be done."""
    samples = linear_samples(400, spread=120)
    sturdy = np.argsort(-np.abs(margins(samples.images)) * correct(samples))[:16]
    samples = samples.take(sturdy)
    values, pixels = fewest(samples)
    records = run(spec(**declared, norm="l0"), "foolbox", linear, samples, [4.0])[0]
    assert records.distance is not None
    assert 2 <= np.median(values) <= values.max()
    assert (records.distance >= pixels).all()
    assert np.mean(records.distance <= values + more) >= 0.8


def fewest(samples: ImageSet) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """How many values, and pixels, must at least go to the box's other end for another prediction."""
    weight, margin = WEIGHT.double().numpy(), margins(samples.images)
    x = samples.x.reshape(len(samples), -1).astype(np.float64)
    gains = np.abs(weight) * np.where(weight * -np.sign(margin)[:, None] > 0, 1 - x, x)

    def least(gains: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        reached = np.sort(gains, axis=1)[:, ::-1].cumsum(axis=1)
        return np.asarray((reached <= np.abs(margin)[:, None]).sum(axis=1) + 1)

    return least(gains), least(gains.reshape(len(samples), 3, 4).sum(axis=1))


def test_one_minimum_norm_attack_gives_the_whole_security_curve(
    linear: Classifier, samples: ImageSet
) -> None:
    eps = [0.02, 0.05, 0.1, 0.2, 0.4]
    target = make_target(linear, samples, 64)
    attack = spec(attack="fmn", norm="l2", steps=30)
    many, one = (run_unit(make_unit(attack, "foolbox", grid), target) for grid in (eps, eps[:1]))
    assert many.forwards == one.forwards == 30 * 48
    for e, records in zip(eps, many.records, strict=True):
        assert records.distance is not None
        np.testing.assert_array_equal(records.success, correct(samples) & (records.distance <= np.float32(e)))
        assert records.l2.max() <= e
        np.testing.assert_array_equal(records.adv_pred == records.label, correct(samples) & ~records.success)


@pytest.mark.parametrize(
    "key",
    sorted(
        {key for made in libraries().values() for key, c in made.attacks.items() if c.fidelity == "exact"}
    ),
)
def test_exact_is_claimed_only_where_it_is_tested(key: str) -> None:
    assert key in {f"{d['attack']}/{d['norm']}" for d in FIXED}


def test_a_minimum_norm_attack_is_predicted_once_and_not_at_every_eps(
    linear: Classifier, samples: ImageSet
) -> None:
    asked: list[int] = []

    class Judged(Classifier):
        def __init__(self, inner: Classifier) -> None:
            nn.Module.__init__(self)
            self.inner, self.num_classes = inner, inner.num_classes

        def forward(self, x: Tensor) -> Tensor:
            if torch.is_inference_mode_enabled():  # as adversarials are judged, and not as they are made
                asked.append(len(x))
            logits: Tensor = self.inner(x)
            return logits

    model = Judged(linear)
    target = make_target(model, samples, 64)
    attack = spec(attack="fmn", norm="l2", steps=3)
    for grid in ([0.1], [0.05, 0.1, 0.2, 0.3, 0.4]):
        asked.clear()
        run_unit(make_unit(attack, "foolbox", grid), target)
        assert asked == [48, 48], "the adversarials, and the images where the adversarials are too far"


@pytest.mark.parametrize("library", ["foolbox", "art"])
def test_a_grid_asks_for_the_first_gradient_once_also_towards_targets(
    library: Carrier, linear: Classifier, samples: ImageSet
) -> None:
    target, grid = make_target(linear, samples, 64), [0.001, 0.002, 0.003]
    for declared, gradients in (({"attack": "fgsm"}, 1), ({"attack": "pgd", "steps": 4}, 1 + 3 * 3)):
        for targeted in (False, True):
            result = run_unit(make_unit(spec(**declared, targeted=targeted), library, grid), target)
            assert result.backwards == 48 * gradients


def test_each_eps_of_a_grid_is_as_if_it_were_asked_alone(linear: Classifier, samples: ImageSet) -> None:
    """With restarts, whose survivors differ from eps to eps; and through a cascade."""
    grid = [0.02, 0.05, 0.1]
    for declared in (
        {"attack": "fgsm", "random_start": True, "restarts": 3},
        {"attack": "pgd", "steps": 2, "random_start": True, "restarts": 2},
        {"attack": "fmn", "steps": 10},
    ):
        whole = run(spec(**declared), "foolbox", linear, samples, grid)
        for eps, records in zip(grid, whole, strict=True):
            (alone,) = run(spec(**declared), "foolbox", linear, samples, [eps])
            for column in ("adv_pred", "adv_prob", "adv_prob_true", "linf", "l2", "success"):
                np.testing.assert_array_equal(getattr(records, column), getattr(alone, column))
