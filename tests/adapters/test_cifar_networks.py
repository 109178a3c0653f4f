"""The ResNet-18s of robust CIFAR checkpoints: state dicts under their published names, what they compute."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor

from adapters.backbones.networks import build_backbone, fetch_backbone, find_head
from adapters.errors import ModelError
from adapters.spec import BackboneSpec

State = dict[str, Tensor]
STEPS = {1: 1, 2: 2, 3: 2, 4: 2}
"""The stride of the first block of each layer."""


def published(*, preact: bool, bn_before_fc: bool = False, classes: int = 10) -> State:
    """Random weights under the names, and in the shapes, of RobustBench's PreActResNet18 and ResNet18."""
    generator = torch.Generator().manual_seed(0)
    state: State = {}

    def conv(name: str, outputs: int, inputs: int, size: int) -> None:
        scale = (2 / (inputs * size * size)) ** 0.5
        state[f"{name}.weight"] = scale * torch.randn(outputs, inputs, size, size, generator=generator)

    def norm(name: str, width: int) -> None:
        state[f"{name}.weight"] = 0.5 + torch.rand(width, generator=generator)
        state[f"{name}.bias"] = 0.1 * torch.randn(width, generator=generator)
        state[f"{name}.running_mean"] = 0.1 * torch.randn(width, generator=generator)
        state[f"{name}.running_var"] = 0.5 + torch.rand(width, generator=generator)
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    conv("conv1", 64, 3, 3)
    if not preact:
        norm("bn1", 64)
    before = 64
    for layer, width in enumerate((64, 128, 256, 512), start=1):
        for block in (0, 1):
            at, inputs = f"layer{layer}.{block}", before if block == 0 else width
            norm(f"{at}.bn1", inputs if preact else width)
            conv(f"{at}.conv1", width, inputs, 3)
            norm(f"{at}.bn2", width)
            conv(f"{at}.conv2", width, width, 3)
            if inputs != width:
                conv(f"{at}.shortcut.0", width, inputs, 1)
                if not preact:
                    norm(f"{at}.shortcut.1", width)
        before = width
    if bn_before_fc:
        norm("bn", 512)
    state["linear.weight"] = 0.05 * torch.randn(classes, 512, generator=generator)
    state["linear.bias"] = 0.05 * torch.randn(classes, generator=generator)
    return state


def by_hand(state: State, x: Tensor, *, preact: bool, out_shortcut: bool = False) -> Tensor:
    """The network's logits as its authors' code computes them."""

    def bn(name: str, x: Tensor) -> Tensor:
        mean, var, weight, bias = (
            state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, var, weight, bias)

    x = F.conv2d(x, state["conv1.weight"], padding=1)
    x = x if preact else F.relu(bn("bn1", x))
    for layer, first in STEPS.items():
        for block, stride in ((0, first), (1, 1)):
            at = f"layer{layer}.{block}"
            shortcut = state.get(f"{at}.shortcut.0.weight")
            if preact:
                active = F.relu(bn(f"{at}.bn1", x))
                inner = F.relu(
                    bn(f"{at}.bn2", F.conv2d(active, state[f"{at}.conv1.weight"], stride=stride, padding=1))
                )
                inner = F.conv2d(inner, state[f"{at}.conv2.weight"], padding=1)
                beside = (
                    x
                    if shortcut is None
                    else F.conv2d(active if out_shortcut else x, shortcut, stride=stride)
                )
                x = inner + beside
            else:
                inner = F.relu(
                    bn(f"{at}.bn1", F.conv2d(x, state[f"{at}.conv1.weight"], stride=stride, padding=1))
                )
                inner = bn(f"{at}.bn2", F.conv2d(inner, state[f"{at}.conv2.weight"], padding=1))
                beside = (
                    x if shortcut is None else bn(f"{at}.shortcut.1", F.conv2d(x, shortcut, stride=stride))
                )
                x = F.relu(inner + beside)
    x = F.relu(bn("bn", x)) if "bn.weight" in state else x
    return F.avg_pool2d(x, 4).flatten(1) @ state["linear.weight"].T + state["linear.bias"]


CASES: list[tuple[str, dict[str, Any]]] = [
    ("cifar/resnet18", {}),
    ("cifar/preact_resnet18", {}),
    ("cifar/preact_resnet18", {"bn_before_fc": True, "out_shortcut": True}),
]


@pytest.mark.parametrize(("architecture", "kwargs"), CASES, ids=["resnet", "wong", "rice"])
@pytest.mark.parametrize("nested", [True, False], ids=["state_dict of DataParallel", "plain"])
def test_a_robust_checkpoint_loads_and_gives_its_authors_logits(
    architecture: str, kwargs: dict[str, Any], nested: bool, tmp_path: Path
) -> None:
    preact = "preact" in architecture
    state = published(preact=preact, bn_before_fc=bool(kwargs.get("bn_before_fc")))
    wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save(
        {"state_dict": wrapped, "epoch": 30, "robust_acc": 0.43} if nested else state, tmp_path / "robust.pt"
    )
    spec = BackboneSpec(architecture=architecture, kwargs=kwargs, weights=str(tmp_path / "robust.pt"))
    network, _ = fetch_backbone(spec, 0)
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    expected = by_hand(state, x, preact=preact, out_shortcut=bool(kwargs.get("out_shortcut")))
    with torch.inference_mode():
        torch.testing.assert_close(network.eval()(x), expected, rtol=1e-4, atol=1e-4)
    assert find_head(network)[0] == "linear"


def test_the_norm_before_the_head_is_missed_or_left_over_in_words(tmp_path: Path) -> None:
    torch.save(published(preact=True, bn_before_fc=True), tmp_path / "rice.pt")
    spec = BackboneSpec(architecture="cifar/preact_resnet18", weights=str(tmp_path / "rice.pt"))
    with pytest.raises(ModelError, match=r"does not fit this network; unknown: bn\.weight"):
        fetch_backbone(spec, 0)


def test_published_sizes_are_those_of_the_papers() -> None:
    """11,173,962 parameters in kuangliu's ResNet18, 11,171,146 in PreAct with no norm before the head."""
    counts = [
        sum(
            p.numel()
            for p in build_backbone(BackboneSpec(architecture=name, kwargs=kwargs), 10, 0).parameters()
        )
        for name, kwargs in CASES
    ]
    assert counts == [11_173_962, 11_171_146, 11_172_170]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"architecture": "cifar/preact_resnet81"},
            "no network 'cifar/preact_resnet81'; did you mean 'preact_resnet18'",
        ),
        ({"architecture": "cifar/resnet18", "kwargs": {"out_shortcut": True}}, "no argument 'out_shortcut'"),
        (
            {"architecture": "cifar/preact_resnet18", "kwargs": {"bn_befor_fc": True}},
            "did you mean 'bn_before_fc'",
        ),
    ],
)
def test_what_there_is_not_is_named(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build_backbone(BackboneSpec.model_validate(spec), 10, 0)


def test_no_weights_are_published_under_a_name() -> None:
    with pytest.raises(ModelError, match="cifar/resnet18 has no weights 'Wong2020Fast'; name a file"):
        fetch_backbone(BackboneSpec(architecture="cifar/resnet18", weights="Wong2020Fast"), 0)
