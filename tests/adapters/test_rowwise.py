"""Asked row by row, a network says of an image the same bits in any batch; and packed convolutions say
what plain ones do."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.fast.lossless import lossless
from adapters.fast.packed import PackedConv2d, can_pack, packed
from adapters.fast.rowwise import WIDEST, Rowwise, agreeing

SHAPE = (3, 32, 32)


class Rounding(nn.Module):
    """Rounds in another way in every batch of fewer than ``exact`` images, as kernels do."""

    def __init__(self, exact: int) -> None:
        super().__init__()
        self.exact = exact

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :5] + (0 if len(x) >= self.exact else 1e-6 / len(x))


class Gossiping(nn.Module):
    """What it says of an image is said of the next one too."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :4] + x.flatten(1)[:, :4].roll(1, 0)


@pytest.mark.parametrize(
    ("exact", "sizes"),
    [(1, (1, 2, 4, 8, 16, 32)), (2, (2, 4, 8, 16, 32)), (8, (8, 16, 32)), (32, (32,)), (33, (32,))],
)
def test_sizes_of_batches_are_those_that_answer_alike(exact: int, sizes: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    rows, x = Rowwise(Rounding(exact).eval(), "fp32"), torch.rand(70, *SHAPE)
    assert rows.sizes(x) == sizes
    together = rows(x)
    for first, last in ((0, 1), (3, 8), (60, 70)):
        assert torch.equal(rows(x[first:last]), together[first:last])


def test_a_model_that_mixes_its_batch_is_asked_as_it_is() -> None:
    network, x = Gossiping(), torch.rand(3, *SHAPE)
    rows = Rowwise(network, "fp32")
    assert rows.sizes(x) == ()
    assert torch.equal(rows(x), network(x))


def test_a_model_that_is_never_the_same_twice_is_asked_as_it_is() -> None:
    assert agreeing(lambda x: torch.rand(len(x), 3), torch.rand(8, *SHAPE)) == ()


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "grouped": lambda: nn.Conv2d(4, 8, 3, groups=2, padding=1),
    "depthwise": lambda: nn.Conv2d(4, 4, 3, groups=4, stride=2, bias=False),
    "dilated": lambda: nn.Conv2d(4, 6, 3, dilation=2, padding=2),
    "pointwise": lambda: nn.Conv2d(4, 9, 1),
}


@pytest.mark.skipif(not can_pack(), reason="this build of torch has no oneDNN")
@pytest.mark.parametrize("kind", NETWORKS)
def test_packed_convolutions_are_the_plain_ones(kind: str) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), NETWORKS[kind]()).eval().requires_grad_(False)
    made, x = packed(plain), torch.rand(5, *SHAPE)
    assert [type(module) for module in made.children()] == [PackedConv2d] * 2
    assert [type(module) for module in plain.children()] == [nn.Conv2d] * 2
    for batch in (x, x[:1]):
        torch.testing.assert_close(made(batch), plain(batch), rtol=1e-5, atol=1e-5)
    assert made[0].conv.weight is plain[0].weight  # type: ignore[index]


@pytest.mark.skipif(not can_pack(), reason="this build of torch has no oneDNN")
def test_a_resnet_as_it_is_attacked_is_packed() -> None:
    from torchvision.models import resnet18

    torch.manual_seed(0)
    network = resnet18(num_classes=5)
    classifier = Classifier(network, mean=(0.5,) * 3, std=(0.25,) * 3, num_classes=5).eval()
    x = torch.rand(4, *SHAPE)
    fast = lossless(classifier, x)
    rows = Rowwise(fast, "fp32")
    assert rows.sizes(x)[-1] == WIDEST
    form = rows._for(x).form
    assert form is not None
    kinds = [type(module) for module in form.modules()]
    assert kinds.count(PackedConv2d) == 20
    torch.testing.assert_close(rows(x), classifier(x), rtol=1e-4, atol=1e-4)


def test_what_a_hook_does_to_a_convolution_is_kept() -> None:
    def twice(_module: nn.Module, _given: Any, y: Tensor) -> Tensor:
        return 2 * y

    network = nn.Sequential(nn.Conv2d(3, 4, 3)).eval().requires_grad_(False)
    network[0].register_forward_hook(twice)
    x = torch.rand(2, *SHAPE)
    torch.testing.assert_close(Rowwise(network, "fp32")(x), network(x))
    assert type(packed(network)[0]) is nn.Conv2d  # type: ignore[index]
