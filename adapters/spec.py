"""What a model is, as declared in a suite: backbone, adaptation and training. No torch here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    Field,
    JsonValue,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from adapters.declaration import Declaration
from adapters.preprocessing import RGB
from adapters.training.spec import Adversarial, HeadStart

Precision = Literal["fp32", "tf32", "bf16"]
"""fp32: IEEE single; tf32: products rounded to 10 bits (NVIDIA GPU); bf16: bfloat16 layers, by autocast."""


class EarlyStopping(Declaration):
    """Stop once the loss on held-out training images has not fallen for ``patience`` epochs.

    The best epoch's weights stay. ``validation`` is the share of each class's training images that is held
    out. The test set is never looked at.
    """

    patience: Annotated[int, Field(ge=1)] = 5
    validation: Annotated[float, Field(gt=0, le=0.5)] = 0.1


class TrainingSpec(Declaration):
    """How weights are tuned. Defaults follow the study (SGD, momentum 0.9, lr 0.01, step decay).

    ``schedule``: "step" divides the rate by ten after each third of the epochs, "cosine" brings it to zero,
    "one-cycle" as Smith & Topin (2018), with a warm-up of its own. ``amp`` computes in bfloat16 where that is
    safe (torch.autocast).

    With ``adversarial``, a share of the training images (that of ``early_stopping``, or of its default) is
    always held out: the weights stay that are most accurate on it under PGD (Rice et al. 2020), and early
    stopping waits for that accuracy to rise. ``head_start`` trains the new head alone first, with the same
    settings.
    """

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 50
    batch_size: Annotated[int, Field(ge=2)] = 64
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: Annotated[float, Field(gt=0)] = 0.01
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    schedule: Literal["constant", "step", "cosine", "one-cycle"] = "step"
    augmentation: Literal["none", "crop-flip", "affine"] = "crop-flip"
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    early_stopping: EarlyStopping | None = None
    amp: bool = False
    adversarial: Adversarial | None = None
    head_start: HeadStart = "random"

    @model_serializer(mode="wrap")
    def _without_what_is_not_asked(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A suite that asks for no robust training is written, and so named, as before there was any."""
        written: dict[str, Any] = plain(self)
        fields = type(self).model_fields
        unasked = [
            name for name in ("adversarial", "head_start") if getattr(self, name) == fields[name].default
        ]
        return {name: value for name, value in written.items() if name not in unasked}

    @property
    def held_out(self) -> float:
        """The share of each class's training images held out to choose the epoch whose weights stay."""
        stopping = self.early_stopping or (EarlyStopping() if self.adversarial else None)
        return stopping.validation if stopping else 0.0

    @model_validator(mode="after")
    def _adversarial_where_it_is_asked(self) -> "TrainingSpec":
        if self.head_start == "adversarial-probe" and self.adversarial is None:
            message = (
                "adversarial-probe needs adversarial (like {method: pgd, eps: 8/255}) to train the head"
                " with; or use probe"
            )
            raise PydanticCustomError("head_start", "{message}", {"key": "head_start", "message": message})
        if self.adversarial and self.adversarial.eps_warmup_epochs >= self.epochs:
            message = "eps_warmup_epochs must be fewer than epochs, or eps never reaches its full size"
            raise PydanticCustomError("warmup", "{message}", {"key": "adversarial", "message": message})
        return self

    @model_validator(mode="after")
    def _one_warmup(self) -> "TrainingSpec":
        if self.schedule == "one-cycle" and self.warmup_epochs:
            raise PydanticCustomError("warmup", "schedule one-cycle warms up by itself; drop warmup_epochs")
        if self.warmup_epochs >= self.epochs:
            raise PydanticCustomError(
                "warmup", "warmup_epochs must be fewer than epochs, or the schedule never starts"
            )
        return self


LARGEST_SIDE = 4096
Deviation = Annotated[float, Field(gt=0)]
BYTES = 255
"""White, on the scale that images have in files."""
WEIGHT_FILES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar")


@dataclass(frozen=True)
class OwnCode:
    """Code that makes a network: ``name`` (function or class) in ``module``, imported from ``root``."""

    root: Path
    module: str
    name: str


Output = Annotated[int, Field(ge=0)] | str
OutputMap = Annotated[dict[str, Output], Field(min_length=2)]
OutputList = Annotated[tuple[Output, ...], Field(min_length=2)]


class BackboneSpec(Declaration):
    """The network that is adapted.

    ``architecture`` is a torchvision name ("resnet18"), timm's ("timm/resnet18.a1_in1k"), or code of your own
    ("my_package.models:build", "path/to/file.py:build"), which runs only where whoever starts the run allows
    it. ``weights`` is torchvision's name of them ("IMAGENET1K_V1"), "pretrained" for timm, or a file
    (.safetensors, or a checkpoint that torch loads with weights_only: .pt, .pth, .ckpt, .bin, .pth.tar);
    without it the network starts at random, or with what your code gives it. Where a file holds more than one
    set of weights, ``key`` says under which of its keys they lie ("state_dict_ema"), and ``prefix`` how their
    names begin ("module."); either is found by itself where only one reading fits. ``kwargs`` are arguments
    of the network's constructor, by name. ``mean`` and ``std`` are the normalisation inside the Classifier,
    per RGB channel of images in [0, 1]: by default what the weights were trained with, else ImageNet's.
    ``input_size`` is the side in pixels to which the model scales the suite's images inside; by default it
    does so only where its network takes one size alone.

    ``classes`` says which outputs of the network's own head are the data's classes: a list in the order of
    the data's classes, or a mapping from their names, of outputs by number, by the name that the weights give
    them or, of 1,000 outputs, by ImageNet's name or synset; or "by-name", where the data's classes are called
    so. Logits of other classes are cut off, or, with ``other_classes: keep``, stay, so that an image may be
    predicted as none of the data's classes, which counts as wrong. Without ``classes`` the outputs are the
    data's classes in their order, and one output for two classes is the logit of the second. A model that is
    trained here has a new head, for which nothing of this is needed.
    """

    architecture: str = "resnet18"
    kwargs: dict[str, JsonValue] = Field(default_factory=dict)
    weights: str | None = None
    key: str | None = None
    prefix: str | None = None
    mean: RGB | None = None
    std: tuple[Deviation, Deviation, Deviation] | None = None
    classes: Literal["by-name"] | OutputMap | OutputList | None = None
    other_classes: Literal["cut", "keep"] = "cut"
    input_size: Annotated[int, Field(ge=1, le=LARGEST_SIDE)] | None = None
    _code: OwnCode | None = PrivateAttr(default=None)

    @field_validator("classes", mode="before")
    @classmethod
    def _names_are_text(cls, value: Any) -> Any:
        """YAML reads names like no, 1.0 and null as something else; a number is the name of a folder too."""
        entries = (
            [*value, *value.values()]
            if isinstance(value, dict)
            else value
            if isinstance(value, list | tuple)
            else ()
        )
        for entry in entries:
            if isinstance(entry, bool) or not isinstance(entry, int | str):
                message = (
                    f"holds {str(entry)[:40]} ({type(entry).__name__}), neither an output's number nor a"
                    " name; quote"
                    " names"
                )
                raise PydanticCustomError("output", "{message}", {"message": message})
        return {str(name): output for name, output in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _others_of_a_choice(self) -> "BackboneSpec":
        if self.other_classes == "keep" and self.classes is None:
            message = "without classes there are no others to keep; give classes, like classes: by-name"
            raise PydanticCustomError("others", "{message}", {"key": "other_classes", "message": message})
        return self

    @model_validator(mode="before")
    @classmethod
    def _said_beside_the_size(cls, data: Any) -> Any:
        for key in ("size", "interpolation", "crop_pct"):
            if isinstance(data, dict) and key in data:
                message = f"{key} stands under data: the models of a suite are all shown the same images"
                message += "; one that scales them inside has an input_size" if key == "size" else ""
                raise PydanticCustomError("elsewhere", "{message}", {"key": key, "message": message})
        return data

    @field_validator("mean", "std", mode="before")
    @classmethod
    def _one_for_each_channel(cls, value: Any) -> Any:
        if value is not None and not (isinstance(value, list | tuple) and len(value) == 3):
            raise PydanticCustomError(
                "channels", "must be three numbers, one for each of red, green and blue, like [0.5, 0.5, 0.5]"
            )
        return value

    @model_validator(mode="after")
    def _on_the_scale_of_images(self) -> "BackboneSpec":
        """Statistics of images in [0, 1] are no larger than 1, those of bytes are."""
        large = [name for name in ("mean", "std") if max(getattr(self, name) or (0,)) > 1]
        if large:
            mean, std = ([round(v / BYTES, 6) for v in values or ()] for values in (self.mean, self.std))
            fix = f"mean: {mean if 'mean' in large else list(self.mean or ())}, std: {std}"
            message = (
                f"{' and '.join(large)}: on the scale from 0 to 255, but images are in [0, 1]: divide by 255"
            )
            message += f", {fix}" if self.mean and self.std else ""
            raise PydanticCustomError("scale", "{message}", {"key": large[0], "message": message})
        return self

    @model_validator(mode="after")
    def _chosen_from_a_file(self) -> "BackboneSpec":
        if (self.key is not None or self.prefix is not None) and self.weights_file is None:
            raise PydanticCustomError("choice", "key and prefix choose within a file; name it as weights")
        return self

    @property
    def code(self) -> OwnCode | None:
        """The code that may run to make this network.

        No declaration sets it: whoever starts a run does, by ``running``.
        """
        return self._code

    def running(self, code: OwnCode | None) -> Self:
        """The same, with leave to run ``code``."""
        allowed = self.model_copy()
        allowed._code = code
        return allowed

    @property
    def weights_file(self) -> Path | None:
        """The file that ``weights`` names, where it is a file rather than a published set of weights."""
        return Path(self.weights) if self.weights and self.weights.endswith(WEIGHT_FILES) else None


class Adaptation(Declaration):
    """How a backbone becomes a model: what every method's declaration, named by ``method``, derives from.

    A method that is not ``trained`` keeps the network's own head. ``place`` is the field that only says where
    something lies: its content stands in keys instead.
    """

    trained: ClassVar[bool] = True
    place: ClassVar[str | None] = None

    method: str

    @property
    def lies_at(self) -> str:
        """What its ``place`` says; empty where it names nothing that lies anywhere."""
        return str(getattr(self, self.place)) if self.place else ""


class NoneSpec(Adaptation):
    """The backbone as it is, with its own head: nothing is trained."""

    trained = False
    method: Literal["none"]


class FullSpec(Adaptation):
    """Every parameter is fine-tuned: the study's baseline."""

    method: Literal["full"] = "full"


class HeadSpec(Adaptation):
    """Only the new last layer is trained (a linear probe)."""

    method: Literal["head"]


class AtomsSpec(Adaptation):
    """Each spatial filter is coefficients x atoms; only atoms (shared in a layer) and head are trained.

    A k x k convolution has k * k atoms, so that the start is the backbone itself (Qiu et al. 2018; Chen et
    al. 2024).
    """

    method: Literal["atoms"]


Targets = Annotated[tuple[str, ...], Field(min_length=1)] | str


class LoraSpec(Adaptation):
    """LoRA through peft on the named layers (Hu et al. 2021): dW = alpha / r * B A.

    ``targets`` is a list of names: of the layer of exactly that name or, where none has it, of every layer
    whose name ends in it after a dot. In a ResNet, [conv1] is the stem alone; in a ViT, [qkv] is the
    attention of every block. A string is a regular expression that must match a whole name. A head that is
    not among the targets is trained in full.
    """

    method: Literal["lora"]
    r: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[float, Field(gt=0)] = 16.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: Targets = ("fc",)


class DoraSpec(Adaptation):
    """DoRA (Liu et al. 2024): LoRA on the direction of the weights, and their magnitude trained beside it."""

    method: Literal["dora"]
    r: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[float, Field(gt=0)] = 16.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: Targets


class LohaSpec(Adaptation):
    """LoHa (Hyeon-Woo et al. 2022): dW is the elementwise product of two low-rank matrices."""

    method: Literal["loha"]
    r: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[float, Field(gt=0)] = 16.0
    targets: Targets


class LokrSpec(Adaptation):
    """LoKr (Yeh et al. 2024): dW is a Kronecker product with a low-rank factor."""

    method: Literal["lokr"]
    r: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[float, Field(gt=0)] = 16.0
    targets: Targets


class OftSpec(Adaptation):
    """OFT (Qiu et al. 2023): weights are rotated by ``blocks`` orthogonal blocks.

    For linear layers and 1 x 1 convolutions.
    """

    method: Literal["oft"]
    blocks: Annotated[int, Field(ge=1)] = 8
    targets: Targets


class BoftSpec(Adaptation):
    """BOFT (Liu et al. 2024): weights are rotated by a butterfly of orthogonal blocks of ``block_size``."""

    method: Literal["boft"]
    block_size: Annotated[int, Field(ge=2)] = 4
    targets: Targets


class HraSpec(Adaptation):
    """HRA (Yuan et al. 2024): the weights are reflected by ``r`` Householder matrices."""

    method: Literal["hra"]
    r: Annotated[int, Field(ge=1)] = 8
    targets: Targets


class PeftSpec(Adaptation):
    """A peft adapter, not trained: a folder (adapter_config.json, adapter_model.safetensors) or a Hub id."""

    trained = False
    place = "path"
    method: Literal["peft"]
    path: str


def is_trained(adaptation: Adaptation) -> bool:
    """Whether ``adaptation`` trains anything; if not, the backbone's head is kept where its classes match."""
    return adaptation.trained
