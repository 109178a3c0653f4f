"""Cascades, transfer, and what a suite may declare."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from adapters.classifier import Classifier
from adapters.images import ImageSet
from bench.attacks.attack_session import likeliest_wrong
from bench.attacks.contract import CONTRACTS
from bench.attacks.ensemble import Strong
from bench.attacks.losses import DlrLoss, TowardsTarget
from bench.attacks.registry import having, libraries
from bench.attacks.spec import AttackSpec, library_of, parameters
from bench.cli.catalogue import attacks
from bench.engine.plan import make_units
from bench.engine.runner import make_target, run_unit
from bench.errors import UserError
from bench.ids import ModelId
from bench.suite.suite import load_suite, shipped_suites
from tests.builders.attacking import INSTALLED, correct, make_unit, run, spec, through
from tests.builders.linear import WEIGHT, Linear, margins
from tests.builders.small import few, small_classifier

STRONG = {"attack": "strong", "steps": 5, "targets": 2, "queries": 5}


def test_cascade_is_the_worst_case_of_its_members() -> None:
    classifier, images = small_classifier(), few(24)
    strong = spec(**STRONG)
    assert isinstance(strong, Strong)
    whole = run(strong, "both", classifier, images, [0.11])[0]
    alone = [
        run(member, library_of(member), classifier, images, [0.11])[0].success for member in strong.members
    ]
    np.testing.assert_array_equal(whole.success, np.any(alone, axis=0))
    assert 0 < whole.success.sum() < 24


def test_only_survivors_meet_the_next_attack() -> None:
    target = make_target(small_classifier(), few(24), 24)
    first = spec(attack="apgd", steps=5)
    spent = [run_unit(make_unit(a, c, [0.9]), target) for a, c in ((spec(**STRONG), "both"), (first, "art"))]
    assert spent[0].records[0].success.all()
    assert spent[0].forwards == spent[1].forwards, (
        "the first member breaks all at this eps: the others have nothing to do"
    )


@pytest.mark.parametrize("aim", [{}, {"loss": "dlr", "targeted": True}])
def test_apgd_passes_no_point_twice_and_finds_the_same(
    aim: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one step: a blank image, then all as they are (ART asks in vain), where they start, and end."""
    target = make_target(small_classifier(), few(24), 24)
    one, ten = (make_unit(spec(attack="apgd", steps=steps, **aim), "art", [0.01]) for steps in (1, 10))
    once = [run_unit(unit, target) for unit in (one, ten)]
    monkeypatch.setattr("bench.attacks.art.translation.LastPass", lambda model: model)
    twice = [run_unit(unit, target) for unit in (one, ten)]
    aiming = 24 * bool(aim)
    assert [once[0].forwards, twice[0].forwards] == [24 * 3 + 1 + aiming, 24 * 5 + 1 + aiming]
    assert once[1].forwards < 0.8 * twice[1].forwards
    assert [a.backwards for a in once] == [b.backwards for b in twice] == [24, 240]
    for a, b in zip(once, twice, strict=True):
        for column in ("adv_pred", "adv_prob", "linf", "l2"):
            np.testing.assert_array_equal(getattr(a.records[0], column), getattr(b.records[0], column))


def test_apgd_asks_a_model_that_draws_for_each_answer(samples: ImageSet) -> None:
    class Drawing(Classifier):
        def begin(self, seed: int) -> None:
            self.seed = seed

    unit = make_unit(spec(attack="apgd", steps=1), "art", [0.01])
    for kind, passes in ((Classifier, 3), (Drawing, 5)):
        model = kind(Linear(), mean=(0, 0, 0), std=(1, 1, 1), num_classes=2).eval()
        target = make_target(model, samples, 64)
        assert run_unit(unit, target).forwards == passes * len(target.correct) + 1


def test_dlr_needs_classes_and_has_its_closed_form() -> None:
    logits, y = torch.tensor([[4.0, 1.0, 3.0, 0.0], [4.0, 1.0, 3.0, 0.0]]), torch.tensor([0, 1])
    loss = DlrLoss()
    loss.reduction = "none"
    np.testing.assert_allclose(loss(logits, y), [(3 - 4) / (4 - 1), (4 - 1) / (4 - 1)])
    aim = TowardsTarget(torch.tensor([1, 2]), ratio=True)
    aim.reduction = "none"
    np.testing.assert_allclose(aim(logits, y), [(1 - 4) / (4 - 0.5), (3 - 1) / (4 - 0.5)])
    with pytest.raises(ValueError, match="at least 3 classes"):
        loss(logits[:, :2], y)


def test_targets_are_ranked_by_likelihood() -> None:
    class Fixed(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[5.0, 1.0, 3.0, 2.0]]).expand(len(x), 4)

    x, y = torch.zeros(2, 3, 2, 2), torch.tensor([0, 2])
    assert [likeliest_wrong(Fixed(), x, y, rank).tolist() for rank in range(4)] == [
        [2, 0],
        [3, 3],
        [1, 1],
        [2, 0],
    ]


def test_transferred_adversarials_are_made_on_the_source_and_judged_by_the_target(
    linear: Classifier, samples: ImageSet
) -> None:
    other = WEIGHT.clone()
    other[:4] *= -1
    source = Classifier(
        Linear(other, float(-other.sum() / 2)), mean=(0, 0, 0), std=(1, 1, 1), num_classes=2
    ).eval()
    for library in through(spec(attack="fgsm")):
        unit = make_unit(spec(attack="fgsm"), library, [0.1])
        target = replace(make_target(linear, samples, 64), source=make_target(source, samples, 64))
        records = run_unit(unit, target).records[0]
        away = np.where(samples.labels == 1, -1, 1)[:, None] * np.sign(other.numpy())
        moved = samples.x.reshape(len(samples), -1) + 0.1 * away
        margin = (moved - 0.5) @ WEIGHT.numpy()
        np.testing.assert_array_equal(
            records.success, correct(samples) & ((margin > 0) != (margins(samples.images) > 0))
        )
        assert 0 < records.success.sum() < correct(samples).sum()


def test_transfer_plans_every_pair_of_models_once() -> None:
    from adapters.cache.card import Card

    suite = load_suite(next(p for p in shipped_suites() if p.stem == "transfer"))
    cards = {ModelId(m.name, 0): Card(m.name, m.name, 0, 0, ()) for m in suite.models}
    units = make_units(suite, cards, "data")
    assert len(units) == 3 * (1 + 2) * 2 * 2
    assert len({cell.key for unit in units for cell in unit.cells}) == sum(len(unit.cells) for unit in units)
    assert {u.source and u.source.name for u in units if u.model.name == "lora-fc"} == {
        None,
        "baseline",
        "lora-fc-conv1",
    }


SUITE = """
name: s
data: {source: digits, classes: [1, 3, 5]}
backbone:
  architecture: resnet18
  mean: [0, 0, 0]
  std: [1, 1, 1]
  pretrain: {data: {source: digits, classes: [0, 2]}}
models: [{name: a}]
eps: [8/255]
attacks:
"""


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        ("{attack: strong, libraries: [foolbox]}", "needs foolbox and art; add them to libraries"),
        ("{attack: noise, distribution: gaussian}", "gaussian noise is not bounded in linf"),
        ("{attack: apgd, libraries: [foolbox]}", "foolbox has no attack 'apgd' in linf; it is in: art"),
        (
            "{attack: cw, norm: linf, libraries: [foolbox]}",
            "foolbox has no attack 'cw' in linf; it is in: art",
        ),
        (
            "{attack: cw, norm: linf, binary_search_steps: 3}",
            "cw has no binary_search_steps in linf; leave it out",
        ),
        ("{attack: cw, largest_const: 9}", "cw has no largest_const in l2; leave it out"),
        ("{attack: simba, stride: 2}", "simba has no stride for basis pixel; leave it out"),
        ("{attack: pgd, restarts: 3}", "set random_start or targeted"),
        ("{attack: pgd, step_size: 0.1, rel_step_size: 0.1}", "not both"),
        ("{attack: deepfool, norm: l1}", "unknown value 'l1'"),
        ("{attack: pgdd}", "did you mean 'pgd'"),
        ("{attack: square, loss: ce}", "loss"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_with_its_line(attack: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(f"{SUITE}  - {attack}\n")
    with pytest.raises(UserError, match=said) as refused:
        load_suite(file)
    assert f"{file}:12" in str(refused.value)


def test_every_declarable_attack_has_a_contract_and_a_translation() -> None:
    kinds = get_args(get_args(AttackSpec)[0])
    declared = {
        f"{kind.model_fields['attack'].annotation.__args__[0]}/{norm}": kind
        for kind in kinds
        for norm in kind.model_fields["norm"].annotation.__args__
    }
    assert declared.keys() == CONTRACTS.keys()
    for key, kind in declared.items():
        assert (kind is Strong) == (not having(key)), "somebody carries out every attack"
        for library in set(having(key)) & set(INSTALLED):
            translate = import_module(libraries()[library].translation).translate
            assert translate.dispatch(kind) is not translate.dispatch(object)


def test_what_is_no_cross_check_says_why_below_the_table() -> None:
    notes = attacks().notes
    for key in CONTRACTS:
        carried = [libraries()[name].attacks[key] for name in having(key)]
        related = [c for c in carried if c.fidelity == "related"]
        assert all(c.note for c in related)
        assert not related or any(note.endswith(related[0].note) for note in notes)
    assert "ART, fgsm l1, pgd l1: changes one value a step, and stalls where that meets the box" in notes
    assert "not through Foolbox, newtonfool l2: squares its norms and divides by zero" in notes
    assert any(note.startswith("ART, apgd l1: weak") and note.endswith("use fmn in l1") for note in notes)


def test_parameters_are_all_that_changes_the_answer() -> None:
    assert parameters(spec(attack="pgd", name="a", eps=["1/255"])) == parameters(spec(attack="pgd", name="b"))
    assert parameters(spec(attack="pgd", restarts=2, random_start=True)) != parameters(
        spec(attack="pgd", random_start=True)
    )
