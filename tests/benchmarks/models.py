"""Networks that know the digits, made in seconds: random features under a head that is fitted to them."""

from typing import cast

import numpy as np
import timm
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torchvision.models import resnet18

from adapters.classifier import Classifier
from adapters.images import ImageSet
from bench import data
from bench.data.spec import DataSpec, Split

CLASSES = 10
FITTED = 200
"""Training images that the head is fitted to."""


def digits(part: Split, size: int, count: int) -> ImageSet:
    """``count`` digits at 3 x size x size, the same share of each class."""
    return data.load(DataSpec.model_validate({"source": "digits", "size": size, "samples": count}), part)


RESNET18 = "resnet18"


def make_classifier(size: int, *, lora: bool, device: str, architecture: str = RESNET18) -> Classifier:
    """A classifier of images of ``size`` pixels; a ResNet18 may have LoRA (r=8) on last layer and stem.

    Any other ``architecture`` is timm's.
    """
    torch.manual_seed(0)
    network, head = _network(architecture, size)
    classifier = Classifier(network, mean=(0.5,) * 3, std=(0.25,) * 3, num_classes=CLASSES).to(device)
    _fit_head(classifier, head, digits("train", size, FITTED))
    if lora:
        classifier.network = _adapted(network)
    return classifier.eval().to(device)


def _network(architecture: str, size: int) -> tuple[nn.Module, str]:
    """An untrained network, and the name of its last layer."""
    if architecture == RESNET18:
        return resnet18(num_classes=CLASSES), "fc"
    config = timm.get_pretrained_cfg(architecture)
    sized = {} if config.pool_size else {"img_size": size}  # a transformer's grid of patches
    return timm.create_model(architecture, num_classes=CLASSES, **sized), str(config.classifier)


@torch.no_grad()
def _fit_head(classifier: Classifier, name: str, images: ImageSet) -> None:
    network = classifier.network
    head = cast("nn.Linear", network.get_submodule(name))
    network.set_submodule(name, nn.Identity())
    batches = torch.split(torch.from_numpy(images.x).to(classifier.device), 20)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.7  # its running statistics are those of two batches
    classifier.train()
    for x in batches[:2]:
        classifier(x)
    classifier.eval()
    features = torch.cat([classifier(x) for x in batches]).cpu().numpy()
    fitted = LogisticRegression(max_iter=500).fit(features, images.labels)
    head.weight.copy_(torch.from_numpy(fitted.coef_))
    head.bias.copy_(torch.from_numpy(fitted.intercept_))
    network.set_submodule(name, head)


def _adapted(network: nn.Module) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    adapted: nn.Module = get_peft_model(network, LoraConfig(r=8, target_modules=r"(fc|conv1)"))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=1e-3)
    return adapted


def known(classifier: Classifier, size: int, count: int) -> ImageSet:
    """``count`` held-out digits that ``classifier`` predicts correctly.

    Raises ValueError if there are not so many.
    """
    images = digits("test", size, 2 * count)
    with torch.inference_mode():
        x = torch.from_numpy(images.x).to(classifier.device)
        pred = torch.cat([classifier(part).argmax(1) for part in torch.split(x, 32)]).cpu().numpy()
    correct = np.flatnonzero(pred == images.labels)
    if len(correct) < count:
        raise ValueError(f"only {len(correct)} of {len(images)} digits are predicted correctly at {size} px")
    return images.take(correct[:count])
