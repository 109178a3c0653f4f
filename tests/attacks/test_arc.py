"""ARC against randomised ensembles of linear members, where the optimum is computed by hand."""

import pytest
import torch

from adapters.defences.random_switch import RandomlySwitched
from adapters.defences.ways import ARC, Way
from tests.builders.attacking import spec
from tests.builders.defended import attacked, defended, grey, linear

W = torch.tensor([1.0] + [0.0] * 11)
V = torch.tensor([0.0, 1.0] + [0.0] * 10)
MARGIN = 0.05
"""Each member is fooled where its own value moves by so much, or by more."""
MEAN_LOSS = Way("mean-loss", "mean-loss")


def opposed() -> tuple[object, object]:
    """Members with weights w and -w, equally far from an image at grey: their mean loss has no gradient."""
    switch = RandomlySwitched(probabilities=(0.5, 0.5))
    return defended(switch, around=[linear(W, MARGIN - 0.5), linear(-W, MARGIN + 0.5)]), grey(4, [0.0] * 12)


@pytest.mark.parametrize("library", ["foolbox", "art"])
@pytest.mark.parametrize("way", [MEAN_LOSS, Way("p", "mean-probability"), Way("z", "mean-logits")])
def test_descent_on_a_mean_stands_still_where_members_pull_apart(library: str, way: Way) -> None:
    model, samples = opposed()
    pgd = spec(attack="pgd", steps=10, rel_step_size=0.25)
    result, _ = attacked(model, samples, pgd, library, "1/10", way=way)  # type: ignore[arg-type]
    assert result.records[0].adv_right.tolist() == [1.0] * 4  # type: ignore[union-attr]


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_arc_finds_that_one_of_two_can_be_fooled(norm: str) -> None:
    """Both cannot: w.x and -w.x never fall together.

    The optimum is the share of the less frequent member, 0.5.
    """
    model, samples = opposed()
    result, _ = attacked(model, samples, spec(attack="arc", norm=norm, steps=5), "bench", "1/10", way=ARC)  # type: ignore[arg-type]
    assert result.records[0].adv_right.tolist() == [0.5] * 4  # type: ignore[union-attr]
    within, _ = attacked(model, samples, spec(attack="arc", norm=norm, steps=5), "bench", "4/100", way=ARC)  # type: ignore[arg-type]
    # Neither can be reached within less than the margin.
    assert within.records[0].adv_right.tolist() == [1.0] * 4  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("norm", "eps", "step", "left"),
    [("linf", "6/100", 0.125, 0.0), ("l2", "6/100", 1.0, 0.5), ("l2", "8/100", 0.125, 0.0)],
)
def test_arc_fools_all_where_one_point_does(norm: str, eps: str, step: float, left: float) -> None:
    """Members that look at different values: both fall at the margin in linf, at sqrt(2) times it in l2."""
    model = defended(RandomlySwitched(), around=[linear(W, MARGIN - 0.5), linear(V, MARGIN - 0.5)])
    declared = spec(attack="arc", norm=norm, steps=20, rel_step_size=step)
    result, _ = attacked(model, grey(3, [0.0] * 12), declared, "bench", eps, way=ARC)
    assert result.records[0].adv_right.tolist() == pytest.approx([left] * 3)  # type: ignore[union-attr]


def test_arc_fools_the_more_frequent_member() -> None:
    switch = RandomlySwitched(probabilities=(0.2, 0.8))
    model = defended(switch, around=[linear(W, MARGIN - 0.5), linear(-W, MARGIN + 0.5)])
    result, _ = attacked(model, grey(2, [0.0] * 12), spec(attack="arc", steps=5), "bench", "1/10", way=ARC)
    assert result.records[0].adv_right.tolist() == pytest.approx([0.2] * 2)  # type: ignore[union-attr]


def test_arc_on_a_single_model_succeeds_exactly_at_its_distance() -> None:
    for eps, fooled in (("4/100", False), ("6/100", True)):
        result, _ = attacked(
            linear(W, MARGIN - 0.5), grey(2, [0.0] * 12), spec(attack="arc", steps=10), "bench", eps
        )
        assert result.records[0].success.tolist() == [fooled] * 2
