"""Convolutions whose weights are put in order once: the same function, and the same gradient."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.fast.lossless import lossless
from adapters.fast.packed import PackedConv2d, can_pack, for_few
from adapters.fast.stem import StemConv2d
from tests.broken.zoo import Network, classifier

pytestmark = pytest.mark.skipif(not can_pack(), reason="this torch has no oneDNN")


def gradient(model: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    inputs = x.clone().requires_grad_(True)
    out = model(inputs)
    (found,) = torch.autograd.grad((out * torch.linspace(0, 1, out.numel()).view_as(out)).sum(), inputs)
    return found


@pytest.mark.parametrize(
    "how",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 1},
        {"kernel_size": (3, 5), "padding": (0, 2)},
        {"kernel_size": 3, "padding": 1, "stride": 2},
        {"kernel_size": 3, "padding": 2, "dilation": 2},
        {"kernel_size": 3, "padding": 1, "groups": 4},
        {"kernel_size": 1, "padding": 1},
    ],
    ids=str,
)
def test_a_packed_convolution_has_the_gradient_of_the_plain_one(how: dict[str, Any]) -> None:
    torch.manual_seed(0)
    conv, x = nn.Conv2d(8, 16, **how).requires_grad_(False), torch.rand(2, 8, 12, 11)
    packed = PackedConv2d(conv)
    torch.testing.assert_close(packed(x), conv(x), rtol=1e-4, atol=1e-5)
    for _ in range(2):
        torch.testing.assert_close(gradient(packed, x), gradient(conv, x), rtol=1e-4, atol=1e-5)


def test_a_packed_stem_keeps_its_own_way_back() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 16, 7, stride=2, padding=3, bias=False).requires_grad_(False)
    x = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(
        gradient(PackedConv2d(StemConv2d(conv)), x), gradient(conv, x), rtol=1e-4, atol=1e-5
    )


def test_a_classifier_for_few_images_is_the_same_function_with_packed_convolutions() -> None:
    torch.manual_seed(0)
    plain, x = classifier(Network()).requires_grad_(False), torch.rand(4, 3, 8, 8)
    fast = lossless(plain, x)
    quick = for_few(fast, x)
    assert any(isinstance(module, PackedConv2d) for module in quick.modules())
    assert not any(isinstance(module, PackedConv2d) for module in fast.modules())
    torch.testing.assert_close(quick(x), fast(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(gradient(quick, x), gradient(fast, x), rtol=1e-3, atol=1e-4)


def test_what_is_not_the_same_packed_is_left_as_it_is() -> None:
    class Looking(nn.Module):
        """Another function where its layer is not what it was."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.conv(x).mean((2, 3)) * isinstance(self.conv, nn.Conv2d)
            return out

    class Own(Classifier):
        pass

    x = torch.rand(4, 3, 8, 8)
    looking = Classifier(Looking(), mean=(0,) * 3, std=(1,) * 3, num_classes=4).eval().requires_grad_(False)
    own = Own(nn.Conv2d(3, 4, 8), mean=(0,) * 3, std=(1,) * 3, num_classes=4)
    assert for_few(looking, x) is looking
    assert for_few(own, x) is own
