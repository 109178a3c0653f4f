"""The form that is attacked has the model's gradients, not only its logits."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.fast.lossless import ALIKE, least_agreement, lossless
from tests.broken.zoo import CLASSES, Network, classifier, shapes


class StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:  # noqa: ARG004
        return (x * 16).round() / 16

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return gradient


class Rounding(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = StraightThrough.apply(x)
        return out


class Halving(nn.Module):
    """Passes half of the gradient of what goes through it, by a hook."""

    def __init__(self) -> None:
        super().__init__()
        self.register_full_backward_hook(self._halve)

    def forward(self, x: Tensor) -> Tensor:
        return 1 * x

    def _halve(self, _: nn.Module, gradients: tuple[Tensor, ...], __: object) -> tuple[Tensor]:
        return (0.5 * gradients[0],)


class Stopped(nn.Module):
    """Stops the gradient of one half of each image by a hook."""

    def __init__(self) -> None:
        super().__init__()
        self.register_full_backward_hook(self._stop)

    def forward(self, x: Tensor) -> Tensor:
        return 1 * x

    def _stop(self, _: nn.Module, gradients: tuple[Tensor, ...], __: object) -> tuple[Tensor]:
        return (gradients[0] * (torch.arange(gradients[0].shape[-1]) < 4),)


def with_first(first: nn.Module) -> Classifier:
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, CLASSES)
    )
    return classifier(nn.Sequential(first, body))


X = torch.from_numpy(shapes(32).x)


@pytest.mark.parametrize("first", [Rounding, Halving, Stopped])
def test_the_form_keeps_gradients_that_are_the_networks_own(
    first: type[nn.Module], caplog: pytest.LogCaptureFixture
) -> None:
    plain = with_first(first())
    form = lossless(plain, X)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in form.modules())
    assert least_agreement(plain, form, X) == pytest.approx((1, 1))
    assert not caplog.text


@pytest.mark.parametrize("lost", [Halving, Stopped])
def test_a_form_that_changes_gradients_is_not_used(
    lost: type[nn.Module], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fold(network: nn.Sequential, _: object) -> None:
        network.insert(0, lost())

    monkeypatch.setattr("adapters.fast.lossless.fold", fold)
    plain = with_first(nn.Identity())
    form = lossless(plain, X)
    assert not any(isinstance(module, lost) for module in form.modules())
    assert caplog.text.count("the plain form is used: the fast one changes input gradients") == 1
    assert least_agreement(plain, form, X) == pytest.approx((1, 1))


def test_the_agreement_of_gradients_in_closed_form() -> None:
    """Rounding has no gradient, and so agrees with itself only; half of a gradient has its direction."""
    torch.manual_seed(0)
    network = Network()
    plain, half = classifier(network), classifier(nn.Sequential(Halving(), network))
    assert least_agreement(plain, half, X) == pytest.approx((1, 0.5))
    silent = classifier(nn.Sequential(_Quantised(), network))
    assert least_agreement(plain, silent, X) == (0, 0)
    assert least_agreement(silent, silent, X) == (1, 1)
    assert least_agreement(plain, classifier(_Alone()), X)[0] < ALIKE


class _Quantised(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (16 * x).round() / 16


class _Alone(nn.Module):
    """Gives logits that hang on one pixel."""

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, 0, 0, :1], (0, CLASSES - 1))
