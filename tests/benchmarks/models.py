"""A ResNet18 of any image size that knows the digits, made in seconds: random features under a head that is fitted to them."""

from typing import cast

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torchvision.models import ResNet, resnet18

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


def make_classifier(size: int, *, lora: bool, device: str) -> Classifier:
    """The classifier for images of ``size`` pixels, plain, or with LoRA (r=8) on the last layer and the stem."""
    torch.manual_seed(0)
    network = resnet18(num_classes=CLASSES)
    classifier = Classifier(network, mean=(0.5,) * 3, std=(0.25,) * 3, num_classes=CLASSES)
    _fit_head(classifier, digits("train", size, FITTED))
    if lora:
        classifier.network = _adapted(network)
    return classifier.eval().to(device)


@torch.no_grad()
def _fit_head(classifier: Classifier, images: ImageSet) -> None:
    network = cast("ResNet", classifier.network)
    head, network.fc = network.fc, cast("nn.Linear", nn.Identity())
    batches = torch.split(torch.from_numpy(images.x), 20)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.7  # its running statistics are those of two batches
    classifier.train()
    for x in batches[:2]:
        classifier(x)
    classifier.eval()
    features = torch.cat([classifier(x) for x in batches]).numpy()
    fitted = LogisticRegression(max_iter=500).fit(features, images.labels)
    head.weight.copy_(torch.from_numpy(fitted.coef_))
    head.bias.copy_(torch.from_numpy(fitted.intercept_))
    network.fc = head


def _adapted(network: nn.Module) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    adapted: nn.Module = get_peft_model(network, LoraConfig(r=8, target_modules=r"(fc|conv1)"))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=1e-3)
    return adapted


def known(classifier: Classifier, size: int, count: int) -> ImageSet:
    """``count`` held-out digits that ``classifier`` predicts correctly. Raises ValueError if there are not so many."""
    images = digits("test", size, 2 * count)
    with torch.inference_mode():
        x = torch.from_numpy(images.x).to(classifier.device)
        pred = torch.cat([classifier(part).argmax(1) for part in torch.split(x, 32)]).cpu().numpy()
    correct = np.flatnonzero(pred == images.labels)
    if len(correct) < count:
        raise ValueError(f"only {len(correct)} of {len(images)} digits are predicted correctly at {size} px")
    return images.take(correct[:count])
