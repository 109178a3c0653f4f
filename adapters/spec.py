"""What a model is, as declared in a suite: backbone, adaptation and training. No torch here."""

from typing import Annotated, Literal

from pydantic import Field

from adapters.strict import Strict


class TrainingSpec(Strict):
    """How weights are tuned. Defaults follow the study (SGD, momentum 0.9, lr 0.01)."""

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 50
    batch_size: Annotated[int, Field(ge=2)] = 64
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: Annotated[float, Field(gt=0)] = 0.01
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    schedule: Literal["constant", "step", "one-cycle"] = "step"
    augmentation: Literal["none", "crop-flip", "affine"] = "crop-flip"


class BackboneSpec(Strict):
    """The network that is adapted. ``mean`` and ``std`` are the normalisation inside the Classifier, per RGB channel."""

    architecture: Literal["resnet18"] = "resnet18"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


class FullSpec(Strict):
    """Every parameter is fine-tuned: the study's baseline."""

    method: Literal["full"] = "full"


class LoraSpec(Strict):
    """LoRA through peft on exactly the named modules (Hu et al. 2021): dW = alpha / r * B A.

    ``targets`` are full module names: "conv1" is the stem alone, never the first convolution of a block.
    """

    method: Literal["lora"]
    r: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[float, Field(gt=0)] = 16
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("fc",)


Adaptation = Annotated[FullSpec | LoraSpec, Field(discriminator="method")]
