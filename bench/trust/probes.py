"""Probes of the model itself: whether an attack could work on it at all."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from adapters.fast.lossless import max_difference
from adapters.methods.adapter_effect import adapted_layers, is_peft, switched_off
from bench.attacks.translation import Opponent, translation_of
from bench.scoring.statistics import lower_bound
from bench.store.evidence import Evidence
from bench.trust.margin import margin
from bench.trust.probe import Probe, found

UNSTABLE_SAMPLES, UNSTABLE_DRAWS, UNSTABLE_SIDE = 8, 25, 8 / 255
"""Samples, draws a sample, and side (as published) of the box of draws, of the instability indicator.

Samples differ far more
than draws do, so of the published 100 draws a quarter is spent on each of four times as many samples."""


@torch.inference_mode()
def deterministic(probe: Probe) -> list[Evidence]:
    """Largest change of a logit between three calls, relative to the largest logit."""
    model, x = probe.model, probe.x
    first, *others = [model(x) for _ in range(3)]
    scale = first.abs().max().clamp(min=1)
    change = max(float((first - other).abs().max() / scale) for other in others)
    return [
        found("deterministic", change, len(x), f"3 calls differ by up to {change:.1e} of the largest logit")
    ]


@torch.inference_mode()
def logits(probe: Probe) -> list[Evidence]:
    """Share of samples whose outputs lie within [0, 1].

    It is all, if no output is negative and every sample's have the same sum. The sum alone proves nothing:
    where a head starts at zero, cross-entropy keeps the sum of its logits there. Log-probabilities are
    logits: another softmax gives the same probabilities and gradients.
    """
    model, x = probe.model, probe.x
    out = model(x)
    sums = out.sum(1)
    constant = len(x) > 1 and bool((out >= 0).all() and sums.max() - sums.min() <= 1e-3 * sums.max())
    share = 1.0 if constant else float(((out.amin(1) >= 0) & (out.amax(1) <= 1)).float().mean())
    return [
        found(
            "logits",
            share,
            len(x),
            f"outputs of {share:.0%} of {len(x)} samples are bounded as probabilities are",
        )
    ]


def gradients(probe: Probe) -> list[Evidence]:
    """Share of samples with a zero or infinite gradient of the cross-entropy; all, if there is no gradient.

    Where the margin has a gradient all the same, only the cross-entropy is flat: that is evidence of its own.
    """
    model, x, y = probe.model, probe.x, probe.y
    try:
        useless = _useless(model, x, lambda logits: F.cross_entropy(logits, y, reduction="sum"))
        flat = (
            useless & ~_useless(model, x, lambda logits: margin(logits, y).sum()) if useless.any() else None
        )
    except RuntimeError as error:
        return [
            found("gradients", 1.0, len(x), f"no gradient reaches the input: {str(error).splitlines()[0]}")
        ]
    saturated = 0 if flat is None else int(flat.sum())
    count = int(useless.sum()) - saturated
    none = found(
        "gradients", count / len(x), len(x), f"{count} of {len(x)} samples have a zero or infinite gradient"
    )
    if not saturated:
        return [none]
    detail = (
        f"attack too weak: the cross-entropy of {saturated} of {len(x)} samples is flat, their margin is not"
    )
    return [none, found("saturation", saturated / len(x), len(x), detail)]


def _useless(model: nn.Module, x: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """Of which of ``x`` the gradient of ``loss``, of the logits, is zero or not finite: N."""
    inputs = x.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(model(inputs)), inputs)
    return (gradient.flatten(1).abs().amax(1) == 0) | ~gradient.flatten(1).isfinite().all(1)


def eval_mode(probe: Probe) -> list[Evidence]:
    """Modules left in training mode that behave differently there."""
    models = [probe.raw, probe.model]
    left = [
        f"{type(module).__name__} {name}"
        for model in models
        for name, module in model.named_modules()
        if module.training
        and isinstance(module, nn.modules.dropout._DropoutNd | nn.modules.batchnorm._NormBase)
    ]
    return [
        found(
            "eval-mode",
            len(left),
            1,
            f"in training mode: {', '.join(left[:3])}" if left else "all in eval mode",
        )
    ]


def wrappers(probe: Probe) -> list[Evidence]:
    """Share of samples whose predicted class differs raw, as attacked, or through the libraries' wrappers."""
    raw, target, x = probe.raw, probe.target, probe.x
    model = target.classifier
    opponent = Opponent(model, target.samples.input_shape, model.num_classes, str(model.device))
    wrapped = [translation_of(library).make_predictor(opponent) for library in probe.libraries]
    with torch.no_grad():
        said = [
            logits.argmax(1).cpu() for logits in (raw(x), model(x), *(predictor(x) for predictor in wrapped))
        ]
    differs = (torch.stack(said) != said[0]).any(0)
    count = int(differs.sum())
    return [
        found(
            "wrappers", count / len(x), len(x), f"{count} of {len(x)} samples change class between wrappers"
        )
    ]


def form(probe: Probe) -> list[Evidence]:
    """Largest change of a logit by the form that is attacked, relative to the largest.

    That form has its adapter merged and BatchNorm folded.
    """
    raw, model, x = probe.raw, probe.model, probe.x
    change = max_difference(raw, model, x)
    return [
        found(
            "form", change, len(x), f"the form that is attacked changes logits by {change:.1e} of the largest"
        )
    ]


@torch.inference_mode()
def adapter(probe: Probe) -> list[Evidence]:
    """Largest change of a logit when the adapter is switched off, relative to the largest logit."""
    raw, x = probe.raw, probe.x
    adapted = raw(x)
    with switched_off(adapted_layers(raw.network).values()):
        change = float((adapted - raw(x)).abs().max() / adapted.abs().max().clamp(min=1))
    return [
        found(
            "adapter",
            change,
            len(x),
            f"switching the adapter off changes logits by {change:.2g} of the largest",
        )
    ]


@torch.inference_mode()
def instability(probe: Probe) -> list[Evidence]:
    """Mean relative change of the loss (the logit margin) in a small box around each sample.

    It is the least that is sure. That is the lower end of the mean's one-sided 95 % interval over samples:
    one sample near the boundary says little. The box is no larger than the budget that is examined: farther
    off, where no attack goes, an honest network that so little breaks changes too.
    """
    model, x, y = probe.model, probe.x[:UNSTABLE_SAMPLES], probe.y[:UNSTABLE_SAMPLES]
    generator = torch.Generator().manual_seed(0)
    side = min(UNSTABLE_SIDE, 2 * probe.reach)
    box = (torch.rand((len(x), UNSTABLE_DRAWS, *x.shape[1:]), generator=generator).to(x) - 0.5) * side
    drawn = (x[:, None] + box).clamp(0, 1).flatten(0, 1)
    moved = margin(model(drawn), y.repeat_interleave(UNSTABLE_DRAWS)).view(len(x), UNSTABLE_DRAWS)
    base = margin(model(x), y)[:, None]
    changes = ((moved - base) / base.abs().clamp(min=1e-12)).abs().mean(1).clamp(max=1).tolist()
    mean, least = np.mean(changes), lower_bound(changes)
    return [
        found(
            "unstable-predictions",
            least,
            len(x),
            f"the margin changes by {mean:.1%} (surely {least:.1%}) within {255 * side / 2:.2g}/255",
        )
    ]


def no_gradients(probe: Probe) -> list[Evidence]:
    """That there are none."""
    none = (
        "the model gives no gradients (ONNX Runtime): black-box attacks alone, so that its robust accuracy is"
        " an upper bound"
    )
    return [found("no-gradients", 1.0, len(probe.x), none)]


def gives_gradients(probe: Probe) -> bool:
    """Whether gradients are there at all: a network in another runtime than PyTorch says that it has none."""
    return bool(getattr(getattr(probe.raw, "network", None), "gives_gradients", True))


def lacks_gradients(probe: Probe) -> bool:
    """Whether there are none."""
    return not gives_gradients(probe)


def has_adapter(probe: Probe) -> bool:
    """Whether there is an adapter to switch off."""
    return is_peft(getattr(probe.raw, "network", probe.raw))
