"""Precision: adversarials are crafted in it, judged in float32, and what it changes is measured and said."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from adapters.classifier import Classifier, predict
from adapters.fast.lossless import lossless, max_difference
from adapters.precision import multiplying, unavailable
from bench.attacks.registry import Library
from bench.attacks.spec import Pgd
from bench.comparison.cause import Made, Subject, drifts
from bench.engine.plan import Cell, Unit, make_units
from bench.engine.runner import make_target, run_unit
from bench.ids import ModelId
from bench.render.text import to_json, to_markdown
from bench.scoring.remarks import Remark
from bench.scoring.score import score
from bench.scoring.scorecard import PrecisionScore, Scorecard
from bench.scoring.statistics import proportion
from bench.scoring.trust import judge_evidence
from bench.store import StoredRun
from bench.store.evidence import Evidence
from bench.suite.suite import Suite, find_suite, load_suite
from bench.trust.controls import outcomes_in_float32
from tests.builders.scene import store_scene
from tests.builders.small import few, small_classifier
from tests.builders.snapshots import flags, make_snapshot

EPS = Fraction(20, 255)
PGD = Unit(ModelId("m", 0), Pgd(attack="pgd", steps=5, rel_step_size=0.25), "foolbox", (Cell(EPS, "a"),))


class Watched(Classifier):
    """Notes in which type its convolutions ran, apart for attack (gradients on) and judgement."""

    def __init__(self, inner: Classifier) -> None:
        nn.Module.__init__(self)
        self.inner, self.num_classes = inner, inner.num_classes
        self.crafting: set[torch.dtype] = set()
        self.judging: set[torch.dtype] = set()
        for module in inner.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(self._note)

    def _note(self, _: nn.Module, __: object, out: Tensor) -> None:
        (self.judging if torch.is_inference_mode_enabled() else self.crafting).add(out.dtype)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(x)
        return logits


@pytest.mark.parametrize("library", ["foolbox", "art"])
def test_bf16_crafts_in_bfloat16_and_judges_in_float32(library: Library) -> None:
    watched = Watched(lossless(small_classifier(), torch.from_numpy(few(8).x), "bf16"))
    target = make_target(watched, few(8), 8, "bf16")
    (records,) = run_unit(replace(PGD, library=library), target).records
    assert (watched.crafting, watched.judging) == ({torch.bfloat16}, {torch.float32})
    assert records.adv_prob.dtype == np.float32


@pytest.mark.parametrize("library", ["foolbox", "art"])
def test_records_are_those_of_the_images_in_float32(library: Library) -> None:
    samples, model = few(40), small_classifier()
    result = run_unit(
        replace(PGD, library=library), make_target(model, samples, 40, "bf16"), keep_images=True
    )
    assert result.images is not None
    said = predict(model, torch.from_numpy(result.images[0]), torch.from_numpy(samples.labels))
    np.testing.assert_array_equal(result.records[0].adv_pred, said.pred)
    np.testing.assert_array_equal(result.records[0].adv_prob, said.prob)
    exact = run_unit(replace(PGD, library=library), make_target(model, samples, 40), keep_images=True)
    assert exact.images is not None
    assert not np.array_equal(result.images[0], exact.images[0]), "bfloat16 must have been used"


def test_libraries_agree_bitwise_in_bf16() -> None:
    target = make_target(small_classifier(), few(40), 40, "bf16")
    a, b = (run_unit(replace(PGD, library=library), target).records[0] for library in ("foolbox", "art"))
    np.testing.assert_array_equal(a.adv_prob, b.adv_prob)


def test_the_control_counts_the_outcomes_that_differ() -> None:
    class Coarse(Classifier):
        """Its gradient points the wrong way in bfloat16, so that nothing is found there."""

        def __init__(self, inner: Classifier) -> None:
            nn.Module.__init__(self)
            self.inner, self.num_classes = inner, inner.num_classes

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.inner(x)
            return 2 * logits.detach() - logits if torch.is_autocast_enabled("cpu") else logits

        @property
        def device(self) -> torch.device:
            return torch.device("cpu")

    target = make_target(Coarse(small_classifier()), few(40), 16, "bf16")
    broken = int(run_unit(PGD, replace(target, precision="fp32")).records[0].success.sum())
    assert 5 < broken < 40
    (found,) = outcomes_in_float32(PGD, target, EPS)
    assert (found.check, found.value, found.n) == ("precision", broken / 40, 40)
    assert judge_evidence([found])[0].grade == "fail"
    (same,) = outcomes_in_float32(PGD, replace(target, precision="fp32"), EPS)
    assert (same.value, judge_evidence([same])[0].grade) == (0, "pass")


@pytest.mark.parametrize(("changed", "grade"), [(0, "pass"), (2, "pass"), (6, "warn"), (8, "fail")])
def test_one_percent_may_differ(changed: int, grade: str) -> None:
    assert judge_evidence([Evidence("precision", "m", 0, None, None, changed / 256, 256)])[0].grade == grade


def test_precision_is_in_the_key_and_fp32_keys_stay() -> None:
    suite = load_suite(find_suite("fgsm_pgd"))
    cards: Any = {ModelId("baseline", 0): SimpleNamespace(sha256="w" * 64)}
    keys = [
        {cell.key for unit in make_units(s, cards, "d") for cell in unit.cells}
        for s in (suite, Suite.model_validate({**suite.model_dump(mode="json"), "precision": "bf16"}))
    ]
    assert len(keys[0]) == len(keys[1]) == 24
    assert not keys[0] & keys[1]


def test_another_precision_is_an_environment_drift() -> None:
    before = make_snapshot("a", {"fgsm 8/255": flags(3, 10)}).header
    after = replace(before, suite={**before.suite, "precision": "bf16"})
    (cause,) = drifts(Made(before, {}), Made(after, {}), Subject(ModelId("lora", 0), "fgsm", "foolbox"))
    assert str(cause) == "environment drift: precision fp32 -> bf16"


def test_batches_that_are_left_to_the_machine_are_no_drift() -> None:
    before = make_snapshot("a", {"fgsm 8/255": flags(3, 10)}).header
    suites = [{**before.suite, "batch_size": size} for size in (128, 64, None)]
    stated, other, free = (Made(replace(before, suite=suite), {}) for suite in suites)
    subject = Subject(ModelId("lora", 0), "fgsm", "foolbox")
    assert drifts(stated, free, subject) == ()
    assert [str(c) for c in drifts(stated, other, subject)] == ["attack drift: fgsm: batch_size 128 -> 64"]


def test_the_report_says_how_many_outcomes_differ(tmp_path: Path) -> None:
    exact = score(StoredRun(store_scene(tmp_path)))
    assert exact.precision is None
    assert exact.remarks_on("precision") == []
    card: Scorecard = replace(exact, precision=PrecisionScore("bf16", proportion(1, 200)))
    said = (
        "crafted in bf16, judged in float32: 1 of 200 outcomes differ when re-crafted in fp32, 0.5 [0, 3] %"
    )
    assert card.remarks_on("precision") == [Remark("precision", said)]
    assert f"- {said}" in to_markdown(card)
    assert json.loads(to_json(card))["precision"]["differs"]["count"] == 1
    (unmeasured,) = replace(exact, precision=PrecisionScore("bf16", None)).remarks_on("precision")
    assert "was not measured" in unmeasured.text


def test_tf32_needs_a_gpu() -> None:
    assert unavailable("tf32", "cpu") == "tf32 is a mode of NVIDIA GPUs, and this run is on the cpu"
    assert unavailable("bf16", "cpu") is None


def test_tf32_is_on_only_where_it_is_asked_for() -> None:
    def flags() -> tuple[bool, bool]:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before = flags()
    with multiplying("tf32"):
        assert flags() == (True, True)
        with multiplying("fp32"):
            assert flags() == (False, False)
        assert flags() == (True, True)
    assert flags() == before


def test_channels_last_is_the_same_function() -> None:
    x = torch.from_numpy(few(8).x)
    plain = small_classifier()
    fast = lossless(plain, x, "bf16")
    weight = fast.get_submodule("network.3").weight
    assert isinstance(weight, Tensor)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    assert max_difference(plain, fast, x) < 1e-5


def test_a_form_that_changes_logits_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def double(network: nn.Module, _: object) -> None:
        for parameter in network.parameters():
            parameter.mul_(2)

    monkeypatch.setattr("adapters.fast.lossless.fold", double)
    x = torch.from_numpy(few(8).x)
    form = lossless(small_classifier(), x)
    torch.testing.assert_close(form(x), small_classifier()(x), rtol=0, atol=0)
    assert "the plain form is used" in caplog.text


def test_weights_are_rounded_once_and_to_what_autocast_makes_of_them() -> None:
    x = torch.from_numpy(few(8).x).requires_grad_()
    forms = [lossless(small_classifier(), x.detach(), "bf16") for _ in range(2)]
    for module in forms[1].modules():
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    assert (
        type(forms[0].get_submodule("network.3"))
        is not type(forms[1].get_submodule("network.3"))
        is nn.Conv2d
    )
    for enabled in (True, False):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            logits = [form(x) for form in forms]
        torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=0)
        gradients = [torch.autograd.grad(each.sum(), x)[0] for each in logits]
        torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=0)


def test_rounded_weights_are_used_in_bf16_passes_only() -> None:
    form = lossless(small_classifier(), torch.from_numpy(few(8).x), "bf16")
    convolution = form.get_submodule("network.3")
    assert convolution.weight.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert convolution.weight.dtype == torch.bfloat16
    assert not any(p.requires_grad for p in form.parameters())
