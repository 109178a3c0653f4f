"""Checks on a model each time one is built: silent mistakes that make a robustness number meaningless."""

import numpy as np
import torch
from torch import Tensor, nn

from adapters.backbones.networks import find_head
from adapters.backbones.weights import some
from adapters.classifier import Classifier
from adapters.errors import ModelError, about, within
from adapters.fast.lossless import NORMS, TOLERANCE, max_difference
from adapters.images import ImageSet
from adapters.methods.adaptation import merged_copy
from adapters.methods.adapter_effect import acting, adapted_layers, has_effect, is_peft

TRIED = 8
"""Images on which a loaded model is checked."""


def images_to_try(images: ImageSet) -> Tensor:
    """A few images to try a model on (N x 3 x H x W in [0, 1]): of ``images``, or noise if it has too few."""
    if len(images) >= TRIED:
        return torch.from_numpy(np.divide(images.images[:TRIED], 255, dtype=np.float32))
    return torch.rand(TRIED, *images.input_shape, generator=torch.Generator().manual_seed(0))


def check_input(classifier: Classifier, shape: tuple[int, int, int]) -> None:
    """Raise ModelError unless the classifier gives images of ``shape`` (C, H, W) one logit per class."""
    outputs, wanted = count_outputs(classifier, shape), classifier.num_classes
    if classifier.read_out is None and outputs != wanted:
        raise ModelError(
            f"the model gives (1, {outputs}) logits for one image, but the data have {wanted} classes"
        )


def count_outputs(classifier: Classifier, shape: tuple[int, int, int]) -> int:
    """How many logits the classifier gives for an image of ``shape`` (C, H, W).

    Raises ModelError if it does not take one, or gives something else, as a user's own network may.
    """
    classifier.eval()
    _check_in_eval_mode(classifier)
    given = _given(classifier, shape)
    if not isinstance(given, Tensor):
        first = "output[0]" if isinstance(given, tuple | list) else "output['logits']"
        raise ModelError(
            f"the model gives a {type(given).__name__}, not a tensor of logits; return the logits alone, like"
            f" {first}"
        )
    if given.dim() == 4 and given.shape[-2:] != (1, 1):
        raise ModelError(
            f"the model gives logits for each pixel, {_sides(given)} for one image, not for the image; it is"
            " for segmentation, or lacks its pooling: classifiers give N x classes"
        )
    if given.shape[:1] != (1,) or given.dim() > 2:
        raise ModelError(f"the model gives {_sides(given)} values for one image, not 1 x classes logits")
    if not given.is_floating_point():
        raise ModelError(f"the model gives {given.dtype} values, like class numbers; return the logits")
    _check_in_eval_mode(classifier)  # a forward pass may switch it back
    _check_finite(given)
    return given.numel()


def _check_finite(logits: Tensor) -> None:
    if not bool(torch.isfinite(logits).all()):
        raise ModelError("the model's logits are not finite; its weights or normalisation are broken")


def _given(classifier: Classifier, shape: tuple[int, int, int]) -> object:
    inside = f" scaled to {classifier.side} px" if classifier.side else ""
    size = _sides(torch.empty(shape, device="meta")) + inside
    try:
        with torch.inference_mode():
            return classifier.network(classifier.normalised(torch.zeros(1, *shape, device=classifier.device)))
    except Exception as error:  # noqa: BLE001 (networks, and adapters from strangers, fail in every way)
        reason = _reason(error)
        what = "backbone with this adapter" if is_peft(classifier.network) else "backbone"
        fix = "set data.size, or the backbone's input_size, to what it was made for"
        raise ModelError(f"the {what} cannot take images of {size} ({reason}); {fix}") from None


def _reason(error: Exception) -> str:
    """What went wrong, in a line: the first, or the last where TorchScript puts a traceback before it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].removeprefix("RuntimeError: ") if "TorchScript interpreter" in lines[0] else lines[0]


def _sides(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "0-dimensional"


def _check_in_eval_mode(classifier: Classifier) -> None:
    """Raise ModelError for a part that is in training mode all the same, or that never leaves it."""
    for name, module in classifier.named_modules():
        if module.training:
            raise ModelError(
                f"{name or 'the model'} is in training mode ({type(module).__name__}): its answers would"
                " depend on chance or on the batch; the network must not set it, nor override train()"
            )
        if isinstance(module, NORMS) and module.running_mean is None:
            raise ModelError(
                f"{name} ({type(module).__name__}) has no running statistics: it normalises by the batch, and"
                " each answer would depend on the other images in it; build it with track_running_stats=True"
            )


def check_head(network: nn.Module, outputs: int) -> None:
    """Raise ModelError unless the linear layer to be replaced gives the ``outputs`` of ``network``."""
    name, head = find_head(network)
    if head.out_features != outputs:
        raise ModelError(
            f"the last linear layer of this backbone, '{name}', gives {head.out_features} values, but the"
            f" network {outputs} logits: it is not the head; give the network a get_classifier() that returns"
            " its linear head"
        )


@torch.inference_mode()
def check_outputs(classifier: Classifier, probe: Tensor) -> None:
    """Raise ModelError if ``classifier``'s answer to ``probe`` (N x 3 x H x W) varies or is probabilities."""
    first, again = classifier(probe), classifier(probe)
    if bool(torch.isfinite(first).all()) and not torch.allclose(first, again, rtol=TOLERANCE, atol=TOLERANCE):
        raise ModelError(
            "the model gives different logits for the same images: its forward pass is random (dropout?)"
        )
    sums = first.sum(dim=1)
    if (
        first.shape[1] > 1
        and bool((first >= 0).all())
        and torch.allclose(sums, torch.ones_like(sums), atol=1e-4)
    ):
        raise ModelError(
            "the model gives probabilities, which sum to 1, not logits: gradients of its loss would vanish;"
            " drop the softmax"
        )


@within("adaptation")
@about("targets")
def check_reached(classifier: Classifier, shape: tuple[int, int, int]) -> None:
    """Raise ModelError if the network never calls a layer with the adapter: it would learn nothing there."""
    if not is_peft(classifier.network):
        return
    image = torch.zeros(1, *shape, device=classifier.device)
    called = acting(classifier.network, classifier.normalised(image))
    idle = [name for name in adapted_layers(classifier.network) if name not in called]
    if idle:
        raise ModelError(
            f"an adapter on {some(idle)} would do nothing: this network uses the layer's weights but never"
            " calls it (torch's MultiheadAttention does so); choose other targets"
        )


def check_model(classifier: Classifier, probe: Tensor, *, trained: bool = True) -> None:
    """Raise ModelError unless ``classifier`` is what it claims to be on ``probe`` (N x 3 x H x W, N >= 2).

    That is: in eval mode; finite; the same for any batch size; its adapter active, on each of its layers
    where it was ``trained`` here; the same merged as unmerged.
    """
    _check_in_eval_mode(classifier)
    # TF32, a GPU's default for convolutions, rounds more coarsely than what these checks look for.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        _check_logits(classifier, probe)
        _check_adapter(classifier, probe, trained=trained)


@torch.inference_mode()
def _check_logits(classifier: Classifier, probe: Tensor) -> None:
    whole = classifier(probe)
    single = torch.cat([classifier(probe[i : i + 1]) for i in range(len(probe))])
    _check_finite(whole)
    off = float((whole - single).abs().max() / whole.abs().max().clamp(min=1))
    if off > TOLERANCE:
        raise ModelError(
            f"the model's answer depends on the batch size: logits differ by {off:.1e}, relative"
        )


def _check_adapter(classifier: Classifier, probe: Tensor, *, trained: bool) -> None:
    network, x = classifier.network, classifier.normalised(probe)
    if is_peft(network):
        if trained:
            _check_layers(network, x)
        if not has_effect(network, x):
            raise ModelError("the adapter has no effect: switching it off changes no logit")
    whole = merged_copy(network)
    if whole is None:  # Then it is attacked unmerged too.
        return
    off = max_difference(network, whole.eval(), x)
    if off > TOLERANCE:
        raise ModelError(
            f"the adapter does not merge correctly: logits differ by {off:.1e}, relative, from the"
            " unmerged model's"
        )


def _check_layers(network: nn.Module, x: Tensor) -> None:
    acts = acting(network, x)
    inert = [name for name in adapted_layers(network) if not acts.get(name)]
    if inert:
        raise ModelError(
            f"the adapter has no effect on {some(inert)}: switching it off changes nothing; drop these"
            " targets"
        )
