"""Controls and probes: what they measure on models whose answer is known."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.images import ImageSet
from bench.attacks.spec import Attack, Fgsm, Pgd, Strong
from bench.engine.models import Models
from bench.engine.plan import Cell, Unit
from bench.engine.runner import SLACK, Target, UnitResult, make_target, measure, run_unit
from bench.ids import ModelId
from bench.scoring.trust import judge_evidence
from bench.store import ModelEntry, OpenRun, StoredRun, open_run
from bench.store.evidence import Evidence
from bench.suite.suite import find_suite, load_suite
from bench.trust import controls
from bench.trust.binarisation import ETA, _inside, make_twins, planted
from bench.trust.controls import _still_gaining, attack_controls
from bench.trust.effort import (
    CONTROLS_SHARE,
    DESCENT,
    INNER,
    SEARCH_SHARE,
    SECOND_SHARE,
    SIBLING_SHARE,
    SQUARES,
    TRANSFER,
    Effort,
    plan_effort,
)
from bench.trust.examine import Subject, examine
from bench.trust.gather import Checks
from bench.trust.margin import margin
from bench.trust.measuring import measured
from bench.trust.noise import noise, perturbed
from bench.trust.probe import make_probe
from bench.trust.probes import instability
from bench.trust.recorder import spaced, subset, take
from tests.broken.zoo import Defended, classifier, same, shapes, trained
from tests.builders.attacking import DEFAULT
from tests.builders.linear import margins
from tests.builders.runs import cell_entry, run_header

PGD = Unit(
    ModelId("model", 0),
    Pgd(attack="pgd", steps=10, rel_step_size=0.25),
    "foolbox",
    (Cell(Fraction(8, 255), "a"),),
)
FGSM = replace(PGD, attack=Fgsm(attack="fgsm"))


def probe_model(raw: Classifier, target: Target, count: int, libraries: Sequence[str]) -> list[Evidence]:
    """What the checks of the model measure."""
    probe = make_probe(raw, target, count, libraries)
    return measured("model", probe)


@pytest.mark.parametrize(
    ("norm", "eps"), [("linf", 0.1), ("l2", 0.7), ("l2", 3.0), ("l1", 3.0), ("l1", 40.0), ("l0", 3.0)]
)
def test_noise_fills_its_ball_and_stays_inside(norm: str, eps: float) -> None:
    x = torch.full((50, 3, 32, 32), 0.5)
    moved = perturbed(x, norm, eps, torch.Generator().manual_seed(0))
    distance = measure(x, moved)[norm]
    assert distance == pytest.approx(np.full(50, eps), rel=2e-5)
    assert distance.max() <= eps + SLACK * max(1, eps)
    assert 0 <= float(moved.min()) <= float(moved.max()) <= 1


def test_noise_breaks_exactly_what_is_in_its_reach(linear: Classifier, samples: ImageSet) -> None:
    """With 12 pixels, 1,000 random corners of a ball surely hold the best of its 4,096 only now and then."""
    target = make_target(linear, samples, 64)
    (found,) = noise(target, "linf", Fraction(32, 255), 8, 1000)
    nearest = target.correct[np.argsort(np.abs(margins(samples.images)[target.correct]))[:8]]
    assert found.n == 8
    assert set(found.samples) <= {samples.ids[i] for i in nearest}
    assert samples.ids[nearest[0]] in found.samples
    (none,) = noise(target, "linf", Fraction(1, 10**6), 8, 1000)
    assert none.value == 0


def test_a_linear_model_passes_every_control(linear: Classifier, samples: ImageSet) -> None:
    chosen = subset(make_target(linear, samples, 64), 32)
    found = {e.check: e.value for e in attack_controls(PGD, chosen, linear, Fraction(8, 255))}
    assert found == dict.fromkeys(
        (
            "rounding",
            "transfer-failure",
            "unconstrained",
            "more-steps",
            "silent-success",
            "incomplete-optimisation",
        ),
        0.0,
    )
    assert [e.check for e in attack_controls(FGSM, chosen, linear, Fraction(8, 255))] == [
        "rounding", "transfer-failure", "unconstrained"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("after", "found"),
    [(same, {"gradients": 0}), (lambda z: 1e4 * z, {"gradients": 0, "saturation": 1}),
     (lambda z: z.detach() + 0 * z, {"gradients": 1})],
)  # fmt: skip
def test_a_flat_cross_entropy_is_told_from_a_gradient_that_is_not_there(
    after: Callable[[Tensor], Tensor], found: dict[str, float]
) -> None:
    target = make_target(classifier(Defended(trained(0), same, after)), shapes(32), 32)
    probed = {e.check: e.value for e in probe_model(target.classifier, target, 8, ())}
    assert {name: probed[name] for name in ("gradients", "saturation") if name in probed} == found


def test_a_cascade_is_judged_by_the_images_that_its_outcomes_are_of() -> None:
    """Some samples, whose first images fool neither form, need a second descent; others end in the first."""
    target = subset(make_target(classifier(trained(0)), shapes(), 128), 48)
    restarts = Pgd(attack="pgd", steps=2, rel_step_size=0.5, random_start=True, restarts=6)
    counts = []
    for attack in (
        restarts.model_copy(update={"restarts": 1}),
        restarts,
        Strong(attack="strong", steps=4, queries=5),
    ):
        unit = replace(PGD, attack=attack, library="both" if attack.attack == "strong" else "art")
        found = {e.check: e for e in attack_controls(unit, target, target.classifier, Fraction(6, 255))}
        assert found["transfer-failure"].value == 0
        assert ("silent-success" in found) == (attack.attack == "pgd" and attack.restarts == 1)
        counts.append(found["transfer-failure"].n)
    assert counts[0] < counts[1] < 48


def test_too_few_steps_are_seen(linear: Classifier, samples: ImageSet) -> None:
    timid = replace(PGD, attack=Pgd(attack="pgd", steps=4, rel_step_size=0.05))
    chosen = subset(make_target(linear, samples, 64), 48)
    found = {e.check: e for e in attack_controls(timid, chosen, linear, Fraction(32, 255))}
    assert found["incomplete-optimisation"].value == 1.0
    more = found["more-steps"].value
    assert more is not None
    assert more > 0.1


def test_only_samples_that_hold_are_attacked_with_more_steps(
    linear: Classifier, samples: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They alone can fall then, and no outcome depends on its company."""
    attacked: dict[int, int] = {}

    def run(unit: Unit, target: Target, **options: Any) -> UnitResult:
        attacked[getattr(unit.attack, "steps", 1)] = len(target.samples)
        return run_unit(unit, target, **options)

    monkeypatch.setattr(controls, "run_unit", run)
    timid = replace(PGD, attack=Pgd(attack="pgd", steps=4, rel_step_size=0.05))
    chosen = subset(make_target(linear, samples, 64), 48)
    found = {e.check: e for e in attack_controls(timid, chosen, linear, Fraction(32, 255))}
    third, once = spaced(48, 16), replace(timid, cells=(Cell(Fraction(32, 255), "once"),))
    longer = replace(once, attack=timid.attack.model_copy(update={"steps": 8}))
    short, long = (run_unit(unit, chosen).records[0].success[third] for unit in (once, longer))
    assert 0 < short.sum() < 16
    assert attacked[8] == 16 - short.sum()
    assert found["more-steps"].value == (long & ~short).sum() / 16


def test_what_is_attacked_again_is_attacked_in_the_form_for_few(
    linear: Classifier, samples: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick, attacked = copy.copy(linear), []

    def run(unit: Unit, target: Target, **options: Any) -> UnitResult:
        attacked.append((len(target.samples), getattr(target.classifier, "inner", None)))
        return run_unit(unit, target, **options)

    monkeypatch.setattr(controls, "run_unit", run)
    chosen = subset(make_target(linear, samples, 64), 30)
    attack_controls(PGD, chosen, linear, Fraction(1, 10**6), quick=quick)
    assert attacked == [(30, linear), (10, quick), (10, quick)]


def test_of_a_cascade_the_stages_are_longer_that_have_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the cascade with twice the steps would break, without the stage that is the same in both."""
    target = subset(make_target(classifier(trained(0)), shapes(), 128), 48)
    eps, attacked = Fraction(9, 255), []
    short, long = (
        replace(PGD, attack=Strong(attack="strong", steps=steps, targets=2, queries=1), library="both")
        for steps in (2, 4)
    )

    def run(unit: Unit, target: Target, **options: Any) -> UnitResult:
        attacked.append((unit.attack.attack, getattr(unit.attack, "steps", 0)))
        return run_unit(unit, target, **options)

    monkeypatch.setattr(controls, "run_unit", run)
    found = {e.check: e for e in attack_controls(short, target, target.classifier, eps)}
    cells = (Cell(eps, "once"),)
    monkeypatch.undo()
    one, two = (run_unit(replace(u, cells=cells), target).records[0].success for u in (short, long))
    third = spaced(48, 16)
    assert found["more-steps"].value == (two & ~one)[third].sum() / 16 > 0
    assert [name for name in attacked if name[0] != "strong"] == [("apgd", 4), ("fmn", 4), ("apgd", 4)]


@pytest.mark.parametrize(
    "attack", [Strong(attack="strong", steps=4, targets=2, queries=1), FGSM.attack, PGD.attack]
)
def test_samples_known_to_hold_are_attacked_again_only_where_its_way_is_looked_at(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is measured is the same: no outcome depends on its company."""
    target = subset(make_target(classifier(trained(0)), shapes(), 128), 48)
    unit = replace(PGD, attack=attack, library="both" if attack.attack == "strong" else "art")
    eps, attacked = Fraction(6, 255), []

    def run(unit: Unit, target: Target, **options: Any) -> UnitResult:
        attacked.append(len(target.samples))
        return run_unit(unit, target, **options)

    known = run_unit(replace(unit, cells=(Cell(eps, "once"),)), target).records[0].success
    assert 0 < known.sum() < 48
    monkeypatch.setattr(controls, "run_unit", run)
    again = attack_controls(unit, target, target.classifier, eps)
    assert attack_controls(unit, target, target.classifier, eps, known) == again
    first = [attacked[0], attacked[len(attacked) // 2]]
    assert first == [48, 48 if attack.attack == "pgd" else known.sum()]
    none = {e.check: e for e in attack_controls(unit, target, target.classifier, eps, np.zeros(48, bool))}
    assert none["rounding"].n == (known.sum() if attack.attack == "pgd" else 0)


def test_another_model_than_the_attacked_one_is_seen(linear: Classifier, samples: ImageSet) -> None:
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor([[1.0, 0.0]]).expand(len(x), 2)

    other = Classifier(Constant(), mean=(0, 0, 0), std=(1, 1, 1), num_classes=2)
    target = make_target(linear, samples, 64)
    wrappers = {e.check: e.value for e in probe_model(other, target, 16, DEFAULT)}["wrappers"]
    assert wrappers is not None
    assert wrappers > 0
    found = {e.check: e for e in attack_controls(PGD, subset(target, 48), other, Fraction(32, 255))}
    assert found["transfer-failure"].value == pytest.approx(
        float((target.samples.labels[target.correct] == 0)[_broken(target, 32 / 255)].mean())
    )


def _broken(target: Any, eps: float) -> np.ndarray:
    from tests.engine.test_runner import box_margin

    found: np.ndarray = box_margin(target.samples.images[target.correct], eps) < 0
    return found


def test_an_adapter_that_does_nothing_is_seen(samples: ImageSet) -> None:
    from peft import LoraConfig, get_peft_model

    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    adapted = get_peft_model(
        network, LoraConfig(r=2, target_modules=["1"])
    )  # B starts at zero: the adapter is inert
    model = Classifier(adapted, mean=(0, 0, 0), std=(1, 1, 1), num_classes=2).eval()
    labels = model(torch.from_numpy(samples.x)).argmax(1).numpy()
    target = make_target(model, replace(samples, labels=labels), 64)
    assert {e.check: e.value for e in probe_model(model, target, 16, DEFAULT)}["adapter"] == 0.0


def test_a_step_that_passes_through_the_wrong_class_counts_where_it_is_shorter(samples: ImageSet) -> None:
    class Band(nn.Module):
        """Class 1 for a mean between 0.55 and 0.8, where the gradient leads; class 0 on both sides."""

        def forward(self, x: Tensor) -> Tensor:
            mean = x.flatten(1).mean(1)
            return torch.stack([torch.zeros_like(mean), torch.minimum(mean - 0.55, 10 * (0.8 - mean))], dim=1)

    images = np.full((8, 3, 2, 2), 120, np.uint8)
    band = Classifier(Band(), mean=(0, 0, 0), std=(1, 1, 1), num_classes=2).eval()
    target = make_target(band, ImageSet(images, np.zeros(8, np.int64), samples.ids[:8], samples.classes), 8)
    found = {e.check: e.value for e in attack_controls(FGSM, target, band, Fraction(8, 255))}
    assert found["unconstrained"] == 0


@pytest.mark.parametrize(
    ("norm", "eps"), [("linf", Fraction(12, 255)), ("l2", Fraction(1, 2)), ("l1", Fraction(5))]
)
def test_planted_adversarials_are_found_by_a_sound_attack_and_missed_by_one_that_does_not_move(
    norm: Literal["linf", "l2", "l1"], eps: Fraction
) -> None:
    target = make_target(classifier(trained(0)), shapes(), 128)
    twins = make_twins(subset(target, 4), norm, float(eps))
    assert twins is not None
    assert twins.correct.tolist() == [0, 1, 2, 3]
    sound, lame = (
        replace(PGD, attack=Pgd(attack="pgd", norm=norm, steps=steps, rel_step_size=size))
        for steps, size in ((20, 0.25), (1, 1e-6))
    )
    assert [planted(unit, twins, eps).value for unit in (sound, lame)] == [1.0, 0.0]


def test_twins_attacked_together_answer_as_each_alone() -> None:
    twins = make_twins(subset(make_target(classifier(trained(0)), shapes(), 128), 4), "linf", 12 / 255)
    assert twins is not None
    weak = replace(
        PGD, attack=Pgd(attack="pgd", steps=2, rel_step_size=0.3), cells=(Cell(Fraction(12, 255), "a"),)
    )
    together = run_unit(weak, twins).records[0]
    alone = [run_unit(weak, take(twins, np.array([i]))).records[0] for i in range(4)]
    assert together.adv_prob == pytest.approx(
        np.concatenate([records.adv_prob for records in alone]), rel=1e-4
    )
    assert len(set(together.l1)) > 1


def test_a_sample_whose_ball_meets_that_of_another_has_no_twin() -> None:
    few = subset(make_target(classifier(trained(0)), shapes(), 128), 2)
    doubled = take(few, np.array([0, 0, 1]))
    twins = make_twins(doubled, "linf", 12 / 255)
    assert twins is not None
    assert twins.samples.ids == few.samples.ids
    assert make_twins(doubled, "linf", 2.0).samples.ids == few.samples.ids[:1]  # type: ignore[union-attr]


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.05), ("l2", 0.5), ("l1", 5.0)])
def test_the_planted_point_lies_within_its_budget_and_the_harmless_ones_nearer(norm: str, eps: float) -> None:
    x, generator = torch.full((1, 3, 8, 8), 0.5), torch.Generator().manual_seed(0)
    inside = measure(x.expand(INNER, -1, -1, -1), _inside(x, norm, eps, generator))[norm]
    assert 0.9 * ETA * eps < inside.min() <= inside.max() <= ETA * eps + 1e-5
    assert measure(x, perturbed(x, norm, eps, generator))[norm] == pytest.approx([eps], rel=2e-5)


def test_a_model_whose_loss_jumps_everywhere_is_unstable_and_one_with_a_sample_near_its_boundary_is_not(
    linear: Classifier, samples: ImageSet
) -> None:
    class Jumpy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([10 * torch.sin(1e4 * x.flatten(1).sum(1)), torch.zeros(len(x))], dim=1)

    jumpy = Classifier(Jumpy(), mean=(0, 0, 0), std=(1, 1, 1), num_classes=2)
    target = make_target(
        jumpy, replace(samples, labels=jumpy(torch.from_numpy(samples.x)).argmax(1).numpy()), 64
    )
    grades = {f.check: f.grade for f in judge_evidence(probe_model(jumpy, target, 16, DEFAULT))}
    assert grades["unstable-predictions"] == "fail"
    honest = {
        f.check: f.grade
        for f in judge_evidence(probe_model(linear, make_target(linear, samples, 64), 16, DEFAULT))
    }
    assert honest["unstable-predictions"] == "pass"


def test_a_model_is_not_called_unstable_farther_off_than_it_is_attacked(
    linear: Classifier, samples: ImageSet
) -> None:
    """The margin of a linear model changes in proportion to the box, which ends at the largest budget."""
    target = make_target(linear, samples, 64)

    def found(eps: Fraction) -> Evidence:
        (one,) = instability(make_probe(linear, target, 16, DEFAULT, {"linf": eps}))
        return one

    published, small = found(Fraction(8, 255)), found(Fraction(1, 510))
    assert published.value is not None
    assert small.value == pytest.approx(published.value / 8, rel=0.02)
    assert published.detail.endswith("within 4/255")
    assert small.detail.endswith("within 0.5/255")


def test_the_form_that_is_attacked_is_reported(linear: Classifier, samples: ImageSet) -> None:
    class Steeper(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.as_tensor(1.001 * linear.network(x))

    other = Classifier(Steeper(), mean=(0, 0, 0), std=(1, 1, 1), num_classes=2).eval()
    found = {}
    for name, form in (("same", linear), ("other", other)):
        (found[name],) = (
            e for e in probe_model(linear, make_target(form, samples, 64), 16, DEFAULT) if e.check == "form"
        )
    assert (found["same"].value, found["same"].detail[-32:]) == (0, "logits by 0.0e+00 of the largest")
    assert found["other"].value is not None
    assert 1e-4 < found["other"].value <= 1e-3
    assert [f.grade for f in judge_evidence(list(found.values()))] == ["pass", "warn"]


OUTPUTS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "logits": (lambda z: z, "pass"),
    "small logits": (lambda z: 0.05 * z, "pass"),
    "logits of a head that started at zero": (lambda z: z - z.mean(1, keepdim=True), "pass"),
    "rectified logits": (F.relu, "pass"),
    "log-softmax": (
        lambda z: F.log_softmax(z, 1),
        "pass",
    ),  # the loss and its gradient are those of the logits
    "softmax": (lambda z: F.softmax(z, 1), "fail"),
    "10 * softmax": (lambda z: 10 * F.softmax(z, 1), "fail"),
    "sigmoid": (torch.sigmoid, "fail"),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_bounded_outputs_are_not_logits(name: str) -> None:
    outputs, grade = OUTPUTS[name]
    model = classifier(Defended(trained(0), lambda x: x, outputs))
    assert {
        f.check: f.grade
        for f in judge_evidence(probe_model(model, make_target(model, shapes(), 160), 16, DEFAULT))
    }["logits"] == grade


def test_log_probabilities_leave_the_gradient_as_it_was() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.1, 3.0, 0.0]], requires_grad=True)
    y = torch.tensor([0, 2])
    plain, twice = F.cross_entropy(logits, y), F.cross_entropy(F.log_softmax(logits, 1), y)
    (first,), (second,) = torch.autograd.grad(plain, logits), torch.autograd.grad(twice, logits)
    torch.testing.assert_close(first, second)


def test_margin_by_hand() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0], [5.0, 0.0, 1.0]])
    assert margin(logits, torch.tensor([1, 2])).tolist() == [1.0, -4.0]


def test_still_gaining_looks_at_the_last_steps_only() -> None:
    falls_to_the_end = np.linspace(1, 0, 21)
    falls_early = np.concatenate([np.linspace(1, 0, 6), np.zeros(15)])
    assert _still_gaining(np.stack([falls_to_the_end, falls_early], axis=1)).tolist() == [True, False]


def test_fast_effort_stays_within_its_share() -> None:
    costs = {FGSM: 1600 * 18, PGD: 1600 * 180, replace(PGD, library="art"): 1600 * 180}
    costs = {replace(unit, cells=unit.cells * 6): cost for unit, cost in costs.items()}
    fast, total = plan_effort("fast", costs, attacked=1600), sum(costs.values())
    (_, first), (pgd, light) = fast.light.items()
    assert (pgd.attack.attack, light) == ("pgd", 64)
    assert first * 2 * 3 <= CONTROLS_SHARE * 1600 * 18
    assert (fast.noise, fast.planted, fast.probed) == (6, 6, 12)
    assert fast.second * DESCENT <= SECOND_SHARE * total
    assert fast.searched * SQUARES <= SEARCH_SHARE * total
    assert fast.transferred * TRANSFER <= SIBLING_SHARE * total


def test_effort_has_a_floor_that_could_show_a_masked_gradient_and_full_takes_more() -> None:
    """However little an attack costs: one eps of FGSM on a few samples."""
    costs = {FGSM: 20 * 3, PGD: 20 * 30, replace(PGD, library="art"): 20 * 30}
    fast = plan_effort("fast", costs, attacked=20)
    assert list(fast.light) == [FGSM, PGD]
    assert set(fast.light.values()) == {9}
    assert (fast.noise, fast.planted, fast.probed) == (4, 3, 8)
    assert (fast.second, fast.searched, fast.transferred) == (24, 8, 12)
    full = plan_effort("full", costs, attacked=160)
    assert len(full.light) == 3
    assert min(full.light.values()) == 128
    assert all(
        getattr(full, name) > getattr(fast, name)
        for name in ("noise", "planted", "probed", "second", "searched", "transferred")
    )


def test_the_default_suite_can_afford_noise_and_planted_twins() -> None:
    """What its least accurate model costs: 142 samples, 6 eps, FGSM (1 gradient for all), PGD (10 a step)."""
    fgsm, pgd = (replace(unit, cells=PGD.cells * 6) for unit in (FGSM, PGD))
    costs = {
        fgsm: 3 * 142,
        replace(fgsm, library="art"): 3 * 142,
        pgd: 180 * 142,
        replace(pgd, library="art"): 180 * 142,
    }
    effort = plan_effort("fast", costs, attacked=142)
    assert effort.noise >= 3, "two say nothing"
    assert effort.planted >= 3
    assert effort.light[pgd] >= 12, (
        "of which seven must hold, or nothing can be said of whether the attack had ended"
    )
    assert effort.probed == 12
    assert effort.second >= 40, "of which four break where ten in all would"
    assert effort.searched >= 8


def test_what_was_not_tried_leaves_a_trace(linear: Classifier, samples: ImageSet) -> None:
    nothing = Effort({PGD: 0}, 0, 0, second=0, transferred=0)
    found = examine(Subject(linear, make_target(linear, samples, 64), Fraction(8, 255)), nothing)
    untried = {e.check for e in found if e.n == 0}
    assert untried == {
        "noise-linf", "rounding", "transfer-failure", "unconstrained", "more-steps", "silent-success",
        "incomplete-optimisation", "binarisation", "second-loss-linf",
    }  # fmt: skip
    unchecked = {f.check for f in judge_evidence(found) if f.grade == "unchecked"}
    assert unchecked == untried - {"noise-linf", "second-loss-linf"}


def test_a_model_all_of_whose_own_attacks_failed_is_not_examined(
    linear: Classifier, samples: ImageSet
) -> None:
    """One to which adversarials of another were transferred has been attacked all the same."""
    subject = Subject(linear, make_target(linear, samples, 64), Fraction(8, 255))
    assert examine(subject, plan_effort("fast", {}, len(samples))) == []


def test_a_model_that_gets_nothing_right_is_not_examined(linear: Classifier, samples: ImageSet) -> None:
    wrong = replace(samples, labels=1 - linear(torch.from_numpy(samples.x)).argmax(1).numpy())
    assert (
        examine(Subject(linear, make_target(linear, wrong, 64), Fraction(8, 255)), Effort({PGD: 4}, 4, 4))
        == []
    )


def evidence_of(
    tmp_path: Path, level: str, linear: Classifier, samples: ImageSet, code: str = "code"
) -> tuple[OpenRun, list[str]]:
    """A finished run of the linear model whose evidence was asked for twice; the models loaded for it."""
    suite = load_suite(find_suite("fgsm_pgd")).model_copy(update={"trust": level})
    entry = cell_entry(
        "model",
        0,
        PGD.attack.label,
        "8/255",
        "linf",
        "foolbox",
        "exact",
        "a",
        "ok",
        None,
        1.0,
        480,
        480,
        kind="pgd",
    )
    origin = {"commit": "", "dirty": False, "started": "", "code": code}
    header = run_header(
        [entry],
        [ModelEntry("model", 0, "full", 1, 1, "x")],
        suite=suite.name,
        origin=origin,
        run_id=f"{level}-run",
    )
    loaded: list[str] = []

    def load(recipe: str, _: str) -> Classifier:
        loaded.append(recipe)
        return linear

    own: Any = {ModelId("model", 0): "recipe"}
    job: Any = SimpleNamespace(
        suite=suite,
        samples=samples,
        recipes=own,
        stack=lambda _: None,
        members=lambda model: (model,),
        title=str,
    )
    zoo: Any = SimpleNamespace(load=load, unadapted=lambda *_: None)
    run = open_run(tmp_path, header, fresh=False)
    records = run_unit(PGD, make_target(linear, samples, 64)).records[0]
    run.write_cell("a", records, seconds=1.0, forwards=480, backwards=480)
    checks = Checks(job, Models(job, zoo, {ModelId("model", 0): "sha256"}), run, [PGD], fresh=False)
    checks.after(PGD)
    checks.finish()
    run.save("complete")
    return run, loaded


def test_evidence_is_gathered_once_and_read_back(
    tmp_path: Path, linear: Classifier, samples: ImageSet
) -> None:
    run, loaded = evidence_of(tmp_path, "full", linear, samples)
    assert loaded == ["recipe"]
    found = StoredRun(run.path).evidence()
    assert {"deterministic", "noise-linf", "unconstrained"} <= {e.check for e in found}
    assert {(e.model, e.seed) for e in found} == {("model", 0)}
    assert {e.library for e in found if e.check == "unconstrained"} == {"foolbox"}


def test_what_other_code_measured_is_measured_anew_and_does_not_stay(
    tmp_path: Path, linear: Classifier, samples: ImageSet
) -> None:
    run, _ = evidence_of(tmp_path, "full", linear, samples, code="old")
    first = StoredRun(run.path).evidence()
    again = [evidence_of(tmp_path, "full", linear, samples, code=code) for code in ("old", "new")]
    assert [loaded for _, loaded in again] == [[], ["recipe"]]
    assert {other.path for other, _ in again} == {run.path}
    assert len(list((run.path / "trust").glob("*.json"))) == 1
    assert StoredRun(run.path).evidence() == first


def test_trust_off_measures_nothing(tmp_path: Path, linear: Classifier, samples: ImageSet) -> None:
    run, loaded = evidence_of(tmp_path, "off", linear, samples)
    assert loaded == []
    assert StoredRun(run.path).evidence() == []
