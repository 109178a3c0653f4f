"""torchattacks' defects, shown on the stock library: if a test fails here, its workaround can go."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.images import ImageSet
from bench.attacks.question import Question
from bench.attacks.translation import Opponent, make_craft
from tests.builders.attacking import spec
from tests.builders.linear import SHAPE, WEIGHT, Linear, margins

torchattacks = pytest.importorskip("torchattacks")

from bench.attacks.torchattacks.workarounds import Beside, BestSquare, StartingL2Pgd, StartingPgd  # noqa: E402


class Scaled(nn.Module):
    """``model`` with its logits times ``factor``; counts its calls."""

    def __init__(self, model: nn.Module, factor: float) -> None:
        super().__init__()
        self.model, self.factor, self.calls = model, factor, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        logits: Tensor = self.model(x) * self.factor
        return logits


def first(samples: ImageSet, count: int = 8) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(samples.x[:count]), torch.from_numpy(samples.labels[:count])


def test_the_mean_loss_loses_gradients_that_the_summed_one_keeps(
    linear: Classifier, samples: ImageSet
) -> None:
    """The smallest float32 is 1.4e-45: a gradient of 1e-44 / 8 samples is gone, with it the adversarial."""
    x, y = first(samples)
    model = Beside(Scaled(linear, 4e-45), "cpu")
    moved = [
        (kind(model, eps=0.1, alpha=0.1, steps=1, random_start=False)(x, y) - x).abs().flatten(1).amax(1)
        for kind in (torchattacks.PGD, StartingPgd)
    ]
    assert moved[0].max() == 0
    assert moved[1].min() > 0.09


def test_l2_steps_shrink_with_tiny_gradients(linear: Classifier, samples: ImageSet) -> None:
    x, y = first(samples)
    model = Beside(Scaled(linear, 1e-12), "cpu")
    stock = torchattacks.PGDL2(model, eps=0.3, alpha=0.1, steps=3, random_start=False)
    ours = StartingL2Pgd(model, eps=0.3, alpha=0.1, steps=3, random_start=False)
    used = [(attack(x, y) - x).flatten(1).norm(dim=1) for attack in (stock, ours)]
    assert used[0].max() < 0.05
    assert used[1].min() > 0.29


def test_a_gradient_of_zero_moves_nothing(samples: ImageSet) -> None:
    x, y = first(samples)
    model = Beside(Linear(torch.zeros(12)), "cpu")
    for kind in (StartingPgd, StartingL2Pgd):
        assert torch.equal(kind(model, eps=0.1, alpha=0.1, steps=2, random_start=False)(x, y), x)


def test_l2_leaves_budget_unused_at_the_box(linear: Classifier, samples: ImageSet) -> None:
    x, _ = first(samples)
    x[:, 0] = 0.02 + 0.96 * (x[:, 0] > 0.5)
    y = linear(x).argmax(1)
    how = {"eps": 0.3, "alpha": 0.1, "steps": 5, "random_start": False}
    used = [
        (kind(Beside(linear, "cpu"), **how)(x, y) - x).flatten(1).norm(dim=1)  # type: ignore[arg-type]
        for kind in (torchattacks.PGDL2, StartingL2Pgd)
    ]
    assert used[0].min() < 0.295
    np.testing.assert_allclose(used[1], 0.3, atol=1e-6)


def test_starts_are_drawn_by_position_and_ours_are_given(linear: Classifier, samples: ImageSet) -> None:
    x, y = first(samples, 2)

    def stock(x: Tensor, y: Tensor) -> Any:
        torch.manual_seed(0)
        return torchattacks.PGD(linear_with_parameter(linear), eps=0.1, alpha=0.0, steps=0)(x, y)

    assert not torch.allclose(stock(x, y)[1], stock(x[1:], y[1:])[0])
    for kind in (StartingPgd, StartingL2Pgd):
        attack = kind(Beside(linear, "cpu"), eps=0.1, alpha=0.0, steps=0, random_start=True)
        attack.start = x + 0.01
        assert torch.equal(attack(x, y), x + 0.01)


def linear_with_parameter(linear: Classifier) -> nn.Module:
    return Beside(linear, "cpu")


def test_l2_starts_crowd_around_the_image() -> None:
    """Uniform in the ball of n dimensions, the radius to the n-th power would be uniform: half of them
    within 0.944 of eps."""
    x = torch.full((400, *SHAPE), 0.5)
    torch.manual_seed(0)
    stock = torchattacks.PGDL2(Beside(Linear(), "cpu"), eps=0.1, alpha=0.1, steps=0)(
        x, torch.zeros(400, dtype=torch.int64)
    )
    assert float((stock - x).flatten(1).norm(dim=1).median()) == pytest.approx(0.05, abs=0.01)


def test_a_model_without_parameters_makes_it_print() -> None:
    class Bare(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x.flatten(1).sum(1), -x.flatten(1).sum(1)], 1)

    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        torchattacks.PGD(Bare())
    assert "Failed to set device" in said.getvalue()
    with contextlib.redirect_stdout(said := io.StringIO()):
        make_craft(spec(attack="pgd", steps=1), "torchattacks", Opponent(Bare(), SHAPE, 2, "cpu"))(
            Question(torch.rand(1, *SHAPE), torch.tensor([0]), ("a",), eps=0.1)
        )
    assert not said.getvalue()


def test_an_attack_puts_a_model_that_was_training_back_to_training_all_of_it() -> None:
    """Also the layers that were not. Ours is handed over in evaluation mode, and stays there."""
    stock = nn.Sequential(nn.Flatten(), nn.Linear(12, 2), nn.BatchNorm1d(2).eval()).train()
    stock[2].eval()
    x, y = torch.rand(2, *SHAPE), torch.tensor([0, 1])
    torchattacks.PGD(stock, steps=1)(x, y)
    assert stock[2].training
    ours = nn.Sequential(nn.Flatten(), nn.Linear(12, 2), nn.BatchNorm1d(2)).train()
    craft = make_craft(spec(attack="pgd", steps=1), "torchattacks", Opponent(ours, SHAPE, 2, "cpu"))
    craft(Question(x, y, ("a", "b"), eps=0.1))
    assert not any(module.training for module in ours.modules())


def test_square_gives_failures_back_unchanged_and_seeds_torch(linear: Classifier, samples: ImageSet) -> None:
    sturdy = np.argsort(-np.abs(margins(samples.images[:48])))[:1]
    x, y = torch.from_numpy(samples.x[sturdy]), torch.from_numpy(samples.labels[sturdy])
    how = {"eps": 0.005, "n_queries": 20, "p_init": 0.3}
    torch.manual_seed(7)
    stock = torchattacks.Square(Beside(linear, "cpu"), **how)(x, y)
    assert torch.equal(stock, x)
    after = torch.rand(1)
    torch.manual_seed(8)
    torchattacks.Square(Beside(linear, "cpu"), **how)(x, y)
    assert torch.equal(torch.rand(1), after), "the same stream, whatever the seed was before"
    best = BestSquare(Beside(linear, "cpu"), **how)(x, y)
    towards = float(((best - x).flatten() * torch.sign(WEIGHT)).sum()) * (1 if y == 0 else -1)
    assert towards > 0
    assert float((best - x).abs().max()) <= 0.005 + 1e-6
