"""BatchNorm is folded into the convolution that it alone reads, in networks of any code, and nowhere else."""

from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from adapters.classifier import Classifier
from adapters.fast.lossless import lossless, max_difference
from adapters.fast.stem import StemConv2d
from tests.benchmarks.folding import build, count, pairs_of

Way = Callable[[Any, Tensor], Tensor]
CLASSES = 4
X = torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(0))


class Body(nn.Module):
    """Layers by name, called by ``way`` on the images; then the mean over all pixels, and a linear layer."""

    def __init__(self, way: Way, **layers: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.way = way
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.way(self, x).flatten(2).mean(2))
        return out


def classifier(network: nn.Module) -> Classifier:
    """``network`` around which nothing is done, with running statistics that are not a random start's."""
    generator = torch.Generator().manual_seed(1)
    for norm in network.modules():
        if isinstance(norm, _BatchNorm) and norm.running_mean is not None and norm.running_var is not None:
            norm.running_mean.copy_(torch.randn(norm.num_features, generator=generator))
            norm.running_var.copy_(0.5 + torch.rand(norm.num_features, generator=generator))
    return Classifier(network, mean=[0.5] * 3, std=[0.5] * 3, num_classes=CLASSES).eval()


def left(form: nn.Module) -> int:
    return sum(isinstance(module, _BatchNorm) for module in form.modules())


def conv(channels: int = 3, **how: int) -> nn.Conv2d:
    return nn.Conv2d(channels, 8, 3, **how)  # type: ignore[arg-type]


def chain(net: Any, x: Tensor) -> Tensor:
    out: Tensor = net.norm(net.conv(x))
    return out


def by_shape(net: Any, x: Tensor) -> Tensor:
    return chain(net, x) if x.shape[0] and x.max().shape == () else x


def in_a_loop(net: Any, x: Tensor) -> Tensor:
    for layer in [net.conv, net.norm, *(net.more for _ in range(int(x.shape[-1] / 6)))]:
        x = layer(x)
    return x


def in_one_dimension(net: Any, x: Tensor) -> Tensor:
    out: Tensor = net.norm(net.conv(x.flatten(2)))
    return out


FOLDED: dict[str, tuple[Way, dict[str, Callable[[], nn.Module]]]] = {
    "a pair": (chain, {"conv": conv, "norm": lambda: nn.BatchNorm2d(8)}),
    "a way that shapes decide": (by_shape, {"conv": conv, "norm": lambda: nn.BatchNorm2d(8)}),
    "a loop": (in_a_loop, {"conv": conv, "norm": lambda: nn.BatchNorm2d(8), "more": nn.Softplus}),
    "without a bias": (
        chain,
        {"conv": lambda: nn.Conv2d(3, 8, 3, bias=False), "norm": lambda: nn.BatchNorm2d(8)},
    ),
    "padded": (chain, {"conv": lambda: conv(padding=1), "norm": lambda: nn.BatchNorm2d(8)}),
    "not affine": (chain, {"conv": conv, "norm": lambda: nn.BatchNorm2d(8, affine=False)}),
    "another eps": (chain, {"conv": conv, "norm": lambda: nn.BatchNorm2d(8, eps=0.1)}),
    "transposed": (
        chain,
        {"conv": lambda: nn.ConvTranspose2d(3, 8, 3, stride=2), "norm": lambda: nn.BatchNorm2d(8)},
    ),
    "one dimension": (
        in_one_dimension,
        {"conv": lambda: nn.Conv1d(3, 8, 3), "norm": lambda: nn.BatchNorm1d(8)},
    ),
    "with what comes then": (
        chain,
        {"conv": conv, "norm": lambda: timm.layers.BatchNormAct2d(8, act_layer=nn.SiLU)},
    ),
    "padded as TensorFlow does": (
        chain,
        {"conv": lambda: timm.layers.Conv2dSame(3, 8, 3, stride=2), "norm": lambda: nn.BatchNorm2d(8)},
    ),
}


@pytest.mark.parametrize("kind", FOLDED)
def test_a_batchnorm_after_a_convolution_is_folded(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    way, layers = FOLDED[kind]
    plain = classifier(Body(way, **{name: make() for name, make in layers.items()}))
    form = lossless(plain, X)
    assert (left(plain), left(form)) == (1, 0)
    assert max_difference(plain, form, X) < 1e-6
    assert not caplog.text


def read_twice(net: Any, x: Tensor) -> Tensor:
    y = net.conv(x)
    out: Tensor = net.norm(y) + y
    return out


def called_twice(net: Any, x: Tensor) -> Tensor:
    out: Tensor = net.norm(net.conv(x)) + net.conv(x.flip(3))
    return out


def shared_norm(net: Any, x: Tensor) -> Tensor:
    out: Tensor = net.norm(net.conv(x)) + net.norm(net.other(x))
    return out


def reads_weights(net: Any, x: Tensor) -> Tensor:
    out: Tensor = net.norm(net.conv(x)) * net.conv.weight.mean()
    return out


def through_relu(net: Any, x: Tensor) -> Tensor:
    out: Tensor = net.norm(net.conv(x).relu())
    return out


def pair() -> dict[str, nn.Module]:
    return {"conv": conv(), "norm": nn.BatchNorm2d(8)}


def tied() -> dict[str, nn.Module]:
    layers = pair()
    layers["other"] = conv()
    layers["other"].weight = layers["conv"].weight
    return layers


def hooked() -> dict[str, nn.Module]:
    layers = pair()
    layers["conv"].register_forward_hook(lambda _, __, out: 2 * out)
    return layers


def parametrized() -> dict[str, nn.Module]:
    layers = pair()
    layers["conv"] = torch.nn.utils.parametrizations.weight_norm(layers["conv"])
    return layers


def batch_statistics() -> dict[str, nn.Module]:
    return {"conv": conv(), "norm": nn.BatchNorm2d(8, track_running_stats=False)}


def reckoned() -> dict[str, nn.Module]:
    return {"conv": timm.layers.StdConv2d(3, 8, 3), "norm": nn.BatchNorm2d(8)}


@pytest.mark.parametrize(
    ("way", "layers"),
    [
        (read_twice, pair),
        (called_twice, pair),
        (shared_norm, tied),
        (reads_weights, pair),
        (through_relu, pair),
        (chain, hooked),
        (chain, parametrized),
        (chain, reckoned),
        (chain, batch_statistics),
    ],
)
def test_what_cannot_be_folded_is_left_in_silence(
    way: Way, layers: Callable[[], dict[str, nn.Module]], caplog: pytest.LogCaptureFixture
) -> None:
    plain = classifier(Body(way, **layers()))
    form = lossless(plain, X)
    assert left(form) == left(plain) > 0
    assert max_difference(plain, form, X) < 1e-6
    assert not caplog.text


def by_value(net: Any, x: Tensor) -> Tensor:
    out: Tensor = chain(net, x) if x.mean() > -9 else net.conv(x)
    return out


def test_a_way_that_values_decide_is_left_and_said(caplog: pytest.LogCaptureFixture) -> None:
    plain = classifier(Body(by_value, **pair()))
    assert left(lossless(plain, X)) == 1
    assert caplog.messages == [
        "BatchNorm is not folded: which layers the network calls may depend on the image"
    ]


def test_where_nothing_is_to_be_folded_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    def way(net: Any, x: Tensor) -> Tensor:
        out: Tensor = net.conv(x) if x.mean() > -9 else x
        return out

    lossless(classifier(Body(way, conv=conv())), X)
    assert not caplog.text


def test_a_network_that_asks_more_of_a_layer_than_to_be_called_stays_as_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def way(net: Any, x: Tensor) -> Tensor:
        return chain(net, x) * float(net.norm.num_features)

    plain = classifier(Body(way, **pair()))
    form = lossless(plain, X)
    assert left(form) == 1
    assert max_difference(plain, form, X) < 1e-6
    assert "does more with its layers than call them" in caplog.text


def test_a_stem_is_quickened_where_the_network_cannot_be_traced() -> None:
    def way(net: Any, x: Tensor) -> Tensor:
        out: Tensor = net.norm(net.conv(net.stem(x.to(net.stem.weight.dtype)))) if x.shape[0] else x
        return out

    stem = nn.Conv2d(3, 8, 4, stride=4)
    plain = classifier(Body(way, stem=stem, conv=nn.Conv2d(8, 8, 3), norm=nn.BatchNorm2d(8)))
    form = lossless(plain, X)
    assert isinstance(form.get_submodule("network.stem"), StemConv2d)
    assert left(form) == 0

    def gradient(model: nn.Module) -> Tensor:
        at = X.clone().requires_grad_()
        return torch.autograd.grad(model(at)[:, 0].sum(), at)[0]

    torch.testing.assert_close(gradient(form), gradient(plain), rtol=0, atol=1e-7)


NETWORKS = (
    "timm/efficientnet_lite0",
    "timm/mobilenetv3_small_050",
    "timm/densenet121",
    "timm/repvgg_a0",
    "torchvision/googlenet",
)


@pytest.mark.parametrize("name", NETWORKS)
def test_known_networks_are_folded_whole(name: str) -> None:
    network = build(name)
    assert network is not None
    found = count(name, network)
    assert found is not None
    assert found.pairs > 30
    assert found.left == 0
    assert found.difference < 1e-5
    assert not found.said


def test_pairs_are_counted_by_what_is_given() -> None:
    """The count that the share of folded pairs is of: a BatchNorm after a ReLU is none."""
    assert pairs_of(classifier(Body(chain, **pair())).network, X) == {"norm"}
    assert pairs_of(classifier(Body(through_relu, **pair())).network, X) == set()
