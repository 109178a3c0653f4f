"""The first convolution's own backward pass: autograd's gradient in every geometry, only where allowed."""

import copy

import pytest
import torch
import torchvision
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.fast.flow import Flow
from adapters.fast.lossless import lossless
from adapters.fast.stem import StemConv2d, is_stem, quicken_stem


def gradients(conv: nn.Module, x: Tensor, cotangent: Tensor) -> Tensor:
    at = x.clone().requires_grad_()
    return torch.autograd.grad(conv(at), at, cotangent)[0]


@given(
    kernel=st.integers(1, 9),
    stride=st.integers(2, 5),
    padding=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    height=st.integers(1, 23),
    width=st.integers(1, 23),
    channels=st.integers(1, 4),
)
def test_it_is_the_convolution_and_its_gradient_in_every_geometry(
    kernel: int, stride: int, padding: tuple[int, int], height: int, width: int, channels: int
) -> None:
    assume(min(height + 2 * padding[0], width + 2 * padding[1]) >= kernel)
    torch.manual_seed(0)
    conv = nn.Conv2d(channels, 5, kernel, stride, padding).double().requires_grad_(False)
    x = torch.randn(2, channels, height, width, dtype=torch.float64)
    expected = conv(x)
    cotangent = torch.randn_like(expected)
    wanted = gradients(conv, x, cotangent)
    stem = StemConv2d(copy.deepcopy(conv))
    torch.testing.assert_close(stem(x), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(gradients(stem, x, cotangent), wanted, rtol=0, atol=1e-12)


def test_a_kernel_by_hand() -> None:
    conv = nn.Conv2d(1, 1, 3, stride=2, bias=False).requires_grad_(False)
    conv.weight.copy_(torch.arange(1.0, 10).view(1, 1, 3, 3))
    got = gradients(StemConv2d(conv), torch.zeros(1, 1, 6, 6), torch.tensor([[[[1.0, 10], [100, 1000]]]]))
    assert got[0, 0].tolist() == [
        [1, 2, 13, 20, 30, 0],
        [4, 5, 46, 50, 60, 0],
        [107, 208, 1379, 2080, 3090, 0],
        [400, 500, 4600, 5000, 6000, 0],
        [700, 800, 7900, 8000, 9000, 0],
        [0, 0, 0, 0, 0, 0],
    ], "rows and columns that no kernel reached have no gradient"


class Standardised(nn.Conv2d):
    """Reckons its own weights, as timm's StdConv2d does."""


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.Conv2d(3, 64, 7, stride=2, padding=3), True),
        (nn.Conv2d(3, 96, 4, stride=4), True),
        (nn.Conv2d(3, 64, 3, stride=1), False),
        (nn.Conv2d(64, 64, 3, stride=2), False),
        (nn.Conv2d(3, 6, 3, stride=2, groups=3), False),
        (nn.Conv2d(3, 6, 3, stride=2, dilation=2), False),
        (nn.Conv2d(3, 6, 3, stride=(2, 1)), False),
        (nn.Conv2d(3, 6, (3, 5), stride=2), False),
        (nn.Conv2d(3, 6, 3, stride=2, padding=1, padding_mode="reflect"), False),
        (nn.Conv2d(3, 6, 2, stride=2, padding="valid"), False),
        (Standardised(3, 64, 7, stride=2), False),
        (torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 64, 7, stride=2)), False),
        (nn.Linear(3, 3), False),
    ],
    ids=lambda value: None if isinstance(value, bool) else str(value)[:60],
)
def test_only_a_plain_strided_convolution_of_an_image_is_a_stem(module: nn.Module, expected: bool) -> None:
    assert is_stem(module) is expected


def test_a_convolution_whose_weights_the_network_reads_itself_is_left() -> None:
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 4, 3, stride=2)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.first(x) * self.first.weight.sum()
            return y

    network, x = Reads().eval(), torch.rand(1, 3, 8, 8)
    flow = Flow(network)
    flow.watch(network, x)
    quicken_stem(network, flow.once)
    assert type(network.first) is nn.Conv2d


def test_the_form_of_a_resnet_has_one_and_its_gradient() -> None:
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=10).eval()
    plain = Classifier(network, mean=[0.5] * 3, std=[0.25] * 3, num_classes=10).double().requires_grad_(False)
    x = torch.rand(2, 3, 33, 47, dtype=torch.float64)
    form = lossless(plain, x)
    assert isinstance(form.get_submodule("network.conv1"), StemConv2d)
    assert isinstance(plain.get_submodule("network.conv1"), nn.Conv2d), "the plain model is left as it was"
    torch.testing.assert_close(gradients(form, x, torch.eye(2, 10)), gradients(plain, x, torch.eye(2, 10)))


def test_convolutions_of_many_weights_take_the_plain_order_and_the_others_channels_last() -> None:
    network = torchvision.models.resnet18(num_classes=10).eval()
    form = lossless(
        Classifier(network, mean=[0.5] * 3, std=[0.25] * 3, num_classes=10), torch.rand(2, 3, 64, 64)
    )
    plain: dict[str, bool] = {}
    for name, module in form.network.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(
                lambda *seen, name=name: plain.update({name: seen[2].is_contiguous()})
            )
    form(torch.rand(2, 3, 64, 64))
    assert len(plain) == 20
    assert {name for name, found in plain.items() if found} == {
        "layer4.0.conv1",
        "layer4.0.conv2",
        "layer4.1.conv1",
        "layer4.1.conv2",
    }
