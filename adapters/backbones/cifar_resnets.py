"""ResNet-18 for 32 x 32 images: a 3 x 3 stem, no pooling behind it.

The names of layers are those of published state dicts.
"""

import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512)


def _conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions, normalised after each (He et al. 2015)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = _conv(outputs, outputs, 3), nn.BatchNorm2d(outputs)
        changes = stride != 1 or inputs != outputs
        self.shortcut = (
            nn.Sequential(_conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
            if changes
            else nn.Sequential()
        )

    def forward(self, x: Tensor) -> Tensor:
        """N x inputs x H x W to N x outputs x H/stride x W/stride."""
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class PreActBlock(nn.Module):
    """Two 3 x 3 convolutions, normalised before each (He et al. 2016).

    Where the shape changes, the shortcut starts at the block's input or, with ``out_shortcut``, behind its
    first activation.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, *, out_shortcut: bool) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), _conv(inputs, outputs, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(outputs), _conv(outputs, outputs, 3)
        self.out_shortcut = out_shortcut
        changes = stride != 1 or inputs != outputs
        self.shortcut = nn.Sequential(_conv(inputs, outputs, 1, stride)) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        """N x inputs x H x W to N x outputs x H/stride x W/stride."""
        active = F.relu(self.bn1(x))
        beside: Tensor = x if self.shortcut is None else self.shortcut(active if self.out_shortcut else x)
        inner: Tensor = self.conv2(F.relu(self.bn2(self.conv1(active))))
        return inner + beside


class CifarResNet18(nn.Module):
    """The ResNet-18 of kuangliu's pytorch-cifar, as RobustBench has it."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(3, WIDTHS[0], 3), nn.BatchNorm2d(WIDTHS[0])
        for number, (inputs, outputs) in enumerate(zip((WIDTHS[0], *WIDTHS), WIDTHS, strict=False), start=1):
            first = BasicBlock(inputs, outputs, 1 if number == 1 else 2)
            self.add_module(f"layer{number}", nn.Sequential(first, BasicBlock(outputs, outputs, 1)))
        self.linear = nn.Linear(WIDTHS[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, N x num_classes, of images N x 3 x H x W."""
        x = F.relu(self.bn1(self.conv1(x)))
        for number in range(1, len(WIDTHS) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        logits: Tensor = self.linear(x.mean(dim=(2, 3)))
        return logits


class PreActResNet18(nn.Module):
    """PreAct ResNet-18 of Wong et al. 2020 and, with ``bn_before_fc`` and ``out_shortcut``, Rice et al. 2020.

    State dicts tell ``bn_before_fc`` (they hold ``bn.weight``), not ``out_shortcut``: with the wrong one,
    accuracy falls.
    """

    def __init__(
        self, num_classes: int = 10, *, bn_before_fc: bool = False, out_shortcut: bool = False
    ) -> None:
        super().__init__()
        self.conv1 = _conv(3, WIDTHS[0], 3)
        for number, (inputs, outputs) in enumerate(zip((WIDTHS[0], *WIDTHS), WIDTHS, strict=False), start=1):
            first = PreActBlock(inputs, outputs, 1 if number == 1 else 2, out_shortcut=out_shortcut)
            second = PreActBlock(outputs, outputs, 1, out_shortcut=out_shortcut)
            self.add_module(f"layer{number}", nn.Sequential(first, second))
        self.bn = nn.BatchNorm2d(WIDTHS[-1]) if bn_before_fc else None
        self.linear = nn.Linear(WIDTHS[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, N x num_classes, of images N x 3 x H x W."""
        x = self.conv1(x)
        for number in range(1, len(WIDTHS) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        x = x if self.bn is None else F.relu(self.bn(x))
        logits: Tensor = self.linear(x.mean(dim=(2, 3)))
        return logits
