"""Probes of the model itself: whether an attack could work on it at all."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from adapters.classifier import Classifier, tensors
from adapters.fast.lossless import max_difference
from adapters.methods.adapter_effect import adapted_layers, is_peft, switched_off
from bench.attacks.translation import Opponent, translation_of
from bench.engine.runner import Target
from bench.scoring.statistics import lower_bound
from bench.store.evidence import Evidence
from bench.trust.margin import margin
from bench.trust.recorder import subset
from bench.trust.slope import slope

UNSTABLE_SAMPLES, UNSTABLE_DRAWS, UNSTABLE_SIDE = 8, 25, 8 / 255
"""Samples, draws a sample, and side (as published) of the box of draws, of the instability indicator. Samples differ far more
than draws do, so of the published 100 draws a quarter is spent on each of four times as many samples."""


def probe_model(raw: Classifier, target: Target, count: int, libraries: Sequence[str]) -> list[Evidence]:
    """Every probe of the model, on ``count`` samples: ``raw`` as trained, ``target`` as attacked through ``libraries``."""
    few = subset(target, count)
    x, y = tensors(few.samples, few.classifier.device)
    found = [
        _deterministic(few.classifier, x),
        _logits(few.classifier, x),
        _gradients(few.classifier, x, y),
        _eval_mode([raw, few.classifier]),
        _wrappers(raw, few, libraries, x),
        _form(raw, few.classifier, x),
        _instability(few.classifier, x[:UNSTABLE_SAMPLES], y[:UNSTABLE_SAMPLES]),
        *slope(few.classifier, x, y),
    ]
    return [*found, _adapter(raw, x)] if is_peft(raw.network) else found


def gives_gradients(raw: Classifier) -> bool:
    """Whether gradients of ``raw`` are there at all: a network in another runtime than PyTorch says that it has none."""
    return bool(getattr(getattr(raw, "network", None), "gives_gradients", True))


def probe_answers(raw: Classifier, target: Target, count: int, libraries: Sequence[str]) -> list[Evidence]:
    """The probes that need no gradient, on ``count`` samples, and that there is none."""
    few = subset(target, count)
    x, _ = tensors(few.samples, few.classifier.device)
    none = "the model gives no gradients (ONNX Runtime): black-box attacks alone, so that its robust accuracy is an upper bound"
    return [
        _evidence("no-gradients", 1.0, len(x), none),
        _deterministic(few.classifier, x),
        _logits(few.classifier, x),
        _eval_mode([raw, few.classifier]),
        _wrappers(raw, few, libraries, x),
        _form(raw, few.classifier, x),
    ]


def _evidence(check: str, value: float, n: int, detail: str = "") -> Evidence:
    return Evidence(check, "", 0, None, None, float(value), n, detail)


@torch.inference_mode()
def _deterministic(model: nn.Module, x: Tensor) -> Evidence:
    """Largest change of a logit between three calls, relative to the largest logit."""
    first, *others = [model(x) for _ in range(3)]
    scale = first.abs().max().clamp(min=1)
    change = max(float((first - other).abs().max() / scale) for other in others)
    return _evidence("deterministic", change, len(x), f"3 calls differ by up to {change:.1e} of the largest logit")


@torch.inference_mode()
def _logits(model: nn.Module, x: Tensor) -> Evidence:
    """Share of samples whose outputs lie within [0, 1]; all, if no output is negative and every sample's have the same sum.

    The sum alone says nothing: where a head starts at zero, cross-entropy keeps the sum of its logits there. Log-probabilities
    are logits: another softmax gives the same probabilities and gradients.
    """
    out = model(x)
    sums = out.sum(1)
    constant = len(x) > 1 and bool((out >= 0).all() and sums.max() - sums.min() <= 1e-3 * sums.max())
    share = 1.0 if constant else float(((out.amin(1) >= 0) & (out.amax(1) <= 1)).float().mean())
    return _evidence("logits", share, len(x), f"outputs of {share:.0%} of {len(x)} samples are bounded as probabilities are")


def _gradients(model: nn.Module, x: Tensor, y: Tensor) -> Evidence:
    """Share of samples whose gradient of the cross-entropy is zero or not finite; all, if there is no gradient."""
    inputs = x.clone().requires_grad_(True)
    try:
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(inputs), y, reduction="sum"), inputs)
    except RuntimeError as error:
        return _evidence("gradients", 1.0, len(x), f"no gradient reaches the input: {str(error).splitlines()[0]}")
    flat = gradient.flatten(1)
    useless = (flat.abs().amax(1) == 0) | ~flat.isfinite().all(1)
    share = float(useless.float().mean())
    return _evidence("gradients", share, len(x), f"{int(useless.sum())} of {len(x)} samples have a zero or infinite gradient")


def _eval_mode(models: Sequence[nn.Module]) -> Evidence:
    """Modules left in training mode that behave differently there."""
    left = [
        f"{type(module).__name__} {name}"
        for model in models
        for name, module in model.named_modules()
        if module.training and isinstance(module, nn.modules.dropout._DropoutNd | nn.modules.batchnorm._NormBase)
    ]
    return _evidence("eval-mode", len(left), 1, f"in training mode: {', '.join(left[:3])}" if left else "all in eval mode")


def _wrappers(raw: Classifier, target: Target, libraries: Sequence[str], x: Tensor) -> Evidence:
    """Share of samples whose predicted class is not the same raw, as attacked, and through the wrappers of ``libraries``."""
    model = target.classifier
    opponent = Opponent(model, target.samples.input_shape, model.num_classes, str(model.device))
    wrapped = [translation_of(library).make_predictor(opponent) for library in libraries]
    with torch.no_grad():
        said = [logits.argmax(1).cpu() for logits in (raw(x), model(x), *(predictor(x) for predictor in wrapped))]
    differs = (torch.stack(said) != said[0]).any(0)
    count = int(differs.sum())
    return _evidence("wrappers", count / len(x), len(x), f"{count} of {len(x)} samples change class between wrappers")


def _form(raw: Classifier, model: Classifier, x: Tensor) -> Evidence:
    """Largest change of a logit by the form that is attacked (adapter merged, BatchNorm folded), relative to the largest."""
    change = max_difference(raw, model, x)
    return _evidence("form", change, len(x), f"the form that is attacked changes logits by {change:.1e} of the largest")


@torch.inference_mode()
def _adapter(raw: Classifier, x: Tensor) -> Evidence:
    """Largest change of a logit when the adapter is switched off, relative to the largest logit."""
    adapted = raw(x)
    with switched_off(adapted_layers(raw.network).values()):
        change = float((adapted - raw(x)).abs().max() / adapted.abs().max().clamp(min=1))
    return _evidence("adapter", change, len(x), f"switching the adapter off changes logits by {change:.2g} of the largest")


@torch.inference_mode()
def _instability(model: nn.Module, x: Tensor, y: Tensor) -> Evidence:
    """Mean relative change of the loss (the logit margin) in a small box around each sample: the least that is sure.

    That is the lower end of the mean's one-sided 95 % interval over samples: one sample near the boundary says little.
    """
    generator = torch.Generator().manual_seed(0)
    box = (torch.rand((len(x), UNSTABLE_DRAWS, *x.shape[1:]), generator=generator).to(x) - 0.5) * UNSTABLE_SIDE
    drawn = (x[:, None] + box).clamp(0, 1).flatten(0, 1)
    moved = margin(model(drawn), y.repeat_interleave(UNSTABLE_DRAWS)).view(len(x), UNSTABLE_DRAWS)
    base = margin(model(x), y)[:, None]
    changes = ((moved - base) / base.abs().clamp(min=1e-12)).abs().mean(1).clamp(max=1).tolist()
    mean, least = np.mean(changes), lower_bound(changes)
    return _evidence(
        "unstable-predictions", least, len(x), f"the margin changes by {mean:.1%} (surely {least:.1%}) within 4/255"
    )
