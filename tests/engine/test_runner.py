"""Attacks through both libraries on a model whose answer is known in closed form."""

from fractions import Fraction
from typing import Any, Literal

import numpy as np
import pytest
import torch

from adapters.classifier import Classifier
from adapters.images import ImageSet
from bench.attacks.spec import Attack, Fgsm, Pgd
from bench.engine.plan import Cell, Unit
from bench.engine.runner import AttackError, check_box, check_budget, make_target, measure, run_unit
from bench.ids import ModelId
from bench.store.records import Records
from tests.builders.attacking import make_unit, spec
from tests.builders.linear import WEIGHT, Linear, margins
from tests.builders.small import few, small_classifier

GRID = [Fraction(n, 255) for n in (1, 2, 4, 8, 16, 32)]
ATTACKS: list[Attack] = [Fgsm(attack="fgsm"), Pgd(attack="pgd", steps=10, rel_step_size=0.25)]
Library = Literal["foolbox", "art"]
EPS = [0.02, 0.04, 0.08]


def run(
    attack: Attack, library: Library, linear: Classifier, samples: ImageSet, batch_size: int = 64
) -> list[Records]:
    unit = Unit(ModelId("linear", 0), attack, library, tuple(Cell(eps, str(eps)) for eps in GRID))
    return run_unit(unit, make_target(linear, samples, batch_size)).records


def box_margin(images: np.ndarray, eps: float) -> np.ndarray:
    """The lowest margin that any image within ``eps`` (linf) and the box reaches towards the other class."""
    weight = WEIGHT.double().numpy()
    x = images.reshape(len(images), -1) / 255
    direction = np.sign(margins(images))[:, None] * np.sign(weight)
    moved = np.clip(x - eps * direction, 0, 1)
    return np.asarray(((moved - 0.5) @ weight) * np.sign(margins(images)))


@pytest.mark.parametrize("library", ["foolbox", "art"])
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.attack)
def test_success_is_exactly_the_closed_form(
    attack: Attack, library: Library, linear: Classifier, samples: ImageSet
) -> None:
    correct = (margins(samples.images) > 0) == samples.labels
    assert correct.sum() == 48
    counts = []
    for eps, records in zip(GRID, run(attack, library, linear, samples), strict=True):
        expected = correct & (box_margin(samples.images, float(eps)) < 0)
        np.testing.assert_array_equal(records.success, expected)
        counts.append(int(expected.sum()))
    assert counts[0] < counts[2] < counts[-1], "the grid must tell the eps apart"


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.attack)
def test_libraries_agree_bitwise(attack: Attack, linear: Classifier, samples: ImageSet) -> None:
    for a, b in zip(
        run(attack, "foolbox", linear, samples), run(attack, "art", linear, samples), strict=True
    ):
        for column in ("success", "adv_prob", "adv_prob_true", "linf", "l2"):
            np.testing.assert_array_equal(getattr(a, column), getattr(b, column))


@pytest.mark.parametrize("library", ["foolbox", "art"])
def test_batch_size_changes_no_outcome(library: Library, linear: Classifier, samples: ImageSet) -> None:
    whole = run(ATTACKS[1], library, linear, samples, batch_size=64)
    parts = run(ATTACKS[1], library, linear, samples, batch_size=7)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(a.success, b.success)
        np.testing.assert_allclose(a.adv_prob, b.adv_prob, atol=1e-6)


def test_wrong_samples_are_not_attacked(linear: Classifier, samples: ImageSet) -> None:
    records = run(ATTACKS[0], "foolbox", linear, samples)[-1]
    wrong = records.clean_pred != records.label
    assert wrong.sum() == 16
    assert not records.success[wrong].any()
    assert not records.linf[wrong].any()
    np.testing.assert_array_equal(records.adv_pred[wrong], records.clean_pred[wrong])


@pytest.mark.parametrize(("library", "forwards"), [("foolbox", 48), ("art", 48)])
def test_fgsm_needs_one_gradient_for_the_whole_grid(
    library: Library, forwards: int, linear: Classifier, samples: ImageSet
) -> None:
    unit = Unit(ModelId("linear", 0), ATTACKS[0], library, tuple(Cell(eps, str(eps)) for eps in GRID))
    result = run_unit(unit, make_target(linear, samples, 64))
    assert (result.forwards, result.backwards) == (forwards, 48)


SHARING: list[dict[str, Any]] = [
    *({"attack": "pgd", "norm": norm, "rel_step_size": 0.25} for norm in ("linf", "l2", "l1")),
    {"attack": "bim", "rel_step_size": 0.25},
    {"attack": "pgd", "targeted": True, "rel_step_size": 0.25},
]
APART: list[dict[str, Any]] = [
    {"attack": "pgd", "random_start": True, "rel_step_size": 0.25},
    {"attack": "mi-fgsm", "rel_step_size": 0.25},
]


@pytest.mark.parametrize("library", ["foolbox", "art"])
@pytest.mark.parametrize("declared", SHARING + APART, ids=lambda d: "-".join(map(str, d.values())))
def test_a_descent_spends_one_pass_a_step_and_its_first_once_for_the_grid(
    library: Library, declared: dict[str, Any]
) -> None:
    samples, attack = few(48), spec(**declared, steps=4)
    target = make_target(small_classifier(), samples, 20)
    n = len(target.correct)
    whole = run_unit(make_unit(attack, library, EPS), target, keep_images=True)
    spent = n * (4 * len(EPS) - (len(EPS) - 1)) if declared in SHARING else n * 4 * len(EPS)
    aiming = n * bool(declared.get("targeted"))
    assert (whole.forwards, whole.backwards) == (spent + aiming, spent)
    for i, eps in enumerate(EPS):
        alone = run_unit(make_unit(attack, library, [eps]), target, keep_images=True)
        assert whole.images is not None
        assert alone.images is not None
        np.testing.assert_array_equal(whole.images[i], alone.images[0])


def _check(x: torch.Tensor, adversarial: torch.Tensor, eps: float) -> None:
    check_box(adversarial)
    check_budget(measure(x, adversarial)["linf"], eps)


def test_check_refuses_what_must_not_count() -> None:
    x = torch.full((1, 3, 2, 2), 0.5)
    _check(x, x + 0.1, 0.1)
    check_budget(np.array([9.000005], dtype=np.float32), 9.0)  # float32 rounding grows with the distance
    for bad, reason in (
        (x + 0.2, "left its budget"),
        (x * torch.nan, "not finite"),
        (x + 0.6, "left the box"),
    ):
        with pytest.raises(AttackError, match=reason):
            _check(x, bad, 0.1)


def test_distances_are_those_of_numpy() -> None:
    x, moved = torch.rand(5, 3, 4, 4), torch.rand(5, 3, 4, 4)
    moved[0] = x[0]
    change = (moved - x).numpy().astype(np.float64).reshape(5, -1)
    found = measure(x, moved)
    np.testing.assert_allclose(found["linf"], np.abs(change).max(1), rtol=1e-6)
    np.testing.assert_allclose(found["l2"], np.linalg.norm(change, axis=1), rtol=1e-6)
    np.testing.assert_allclose(found["l1"], np.abs(change).sum(1), rtol=1e-6)
    np.testing.assert_array_equal(found["l0"], [0, 16, 16, 16, 16])


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize(
    "declared",
    [{"attack": "pgd", "steps": 2, "rel_step_size": 0.5}, {"attack": "fmn", "steps": 5}],
    ids=["pgd", "fmn"],
)
def test_logits_that_are_not_finite_under_attack_are_an_error_and_neither_broken_nor_robust(
    declared: dict[str, Any], value: float, samples: ImageSet
) -> None:
    """Of what wins among NaN, argmax says the first.

    The model fails on images that are none of the samples when judged.
    """

    class Fails(Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            bytewise = ((x * 255).round() / 255 - x).abs().flatten(1).amax(1) < 1e-6
            bad = torch.is_inference_mode_enabled() & ~bytewise
            return torch.where(bad[:, None], value, super().forward(x))

    fails = Classifier(
        Fails(bias=float(-WEIGHT.sum() / 2)), mean=(0, 0, 0), std=(1, 1, 1), num_classes=2
    ).eval()
    unit = make_unit(spec(**declared), "foolbox", [0.0333])
    reason = r"the model's logits are not finite \(NaN or infinite\) on \d+ of 48 attacked images"
    with pytest.raises(AttackError, match=reason):
        run_unit(unit, make_target(fails, samples, 64))
