"""Checks on a built model, run every time one is built: the silent mistakes that make a robustness number meaningless."""

import torch
from torch import Tensor, nn

from adapters.backbones.weights import some
from adapters.classifier import Classifier
from adapters.errors import ModelError, about, within
from adapters.fast.lossless import TOLERANCE, max_difference
from adapters.methods.adaptation import merged_copy
from adapters.methods.adapter_effect import acting, adapted_layers, has_effect, is_peft


def check_input(classifier: Classifier, shape: tuple[int, int, int]) -> None:
    """Raise ModelError unless the classifier takes images of ``shape`` (C, H, W) and gives one logit per class."""
    size = " x ".join(map(str, shape))
    classifier.eval()
    try:
        with torch.inference_mode():
            logits = classifier(torch.zeros(1, *shape, device=classifier.device))
    except Exception as error:  # noqa: BLE001 (networks, and adapters from strangers, fail in every way)
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        what = "backbone with this adapter" if is_peft(classifier.network) else "backbone"
        raise ModelError(f"the {what} cannot take images of {size} ({reason}); set data.size to what it was made for") from None
    if logits.shape != (1, classifier.num_classes):
        raise ModelError(
            f"the model gives {tuple(logits.shape)} logits for one image, but the data have {classifier.num_classes} classes"
        )


@within("adaptation")
@about("targets")
def check_reached(classifier: Classifier, shape: tuple[int, int, int]) -> None:
    """Raise ModelError if the network never calls a layer that the adapter is on: it would learn nothing there."""
    if not is_peft(classifier.network):
        return
    called = acting(classifier.network, torch.zeros(1, *shape, device=classifier.device))
    idle = [name for name in adapted_layers(classifier.network) if name not in called]
    if idle:
        raise ModelError(
            f"an adapter on {some(idle)} would do nothing: this network uses the layer's weights but never calls it "
            "(torch's MultiheadAttention does so); choose other targets"
        )


def check_model(classifier: Classifier, probe: Tensor, *, trained: bool = True) -> None:
    """Raise ModelError unless ``classifier`` is what it claims to be, as seen on ``probe`` (N x 3 x H x W, N >= 2).

    That is: in eval mode; finite; the same for any batch size; its adapter active, on each of its layers where it was
    ``trained`` here; the same merged as unmerged.
    """
    training = [name or "the model" for name, module in classifier.named_modules() if module.training]
    if training:
        raise ModelError(f"{training[0]} is in training mode: its answers would depend on chance or on the batch")
    # TF32, a GPU's default for convolutions, rounds more coarsely than what these checks look for.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        _check_logits(classifier, probe)
        _check_adapter(classifier, probe, trained=trained)


@torch.inference_mode()
def _check_logits(classifier: Classifier, probe: Tensor) -> None:
    whole = classifier(probe)
    single = torch.cat([classifier(probe[i : i + 1]) for i in range(len(probe))])
    if not bool(torch.isfinite(whole).all()):
        raise ModelError("the model's logits are not finite; its weights or normalisation are broken")
    off = float((whole - single).abs().max() / whole.abs().max().clamp(min=1))
    if off > TOLERANCE:
        raise ModelError(f"the model's answer depends on the batch size: logits differ by {off:.1e}, relative")


def _check_adapter(classifier: Classifier, probe: Tensor, *, trained: bool) -> None:
    network, x = classifier.network, (probe - classifier.mean) / classifier.std
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
        raise ModelError(f"the adapter merges wrongly: logits differ by {off:.1e}, relative, from the unmerged model's")


def _check_layers(network: nn.Module, x: Tensor) -> None:
    acts = acting(network, x)
    inert = [name for name in adapted_layers(network) if not acts.get(name)]
    if inert:
        raise ModelError(f"the adapter has no effect on {some(inert)}: switching it off changes nothing; drop these targets")
