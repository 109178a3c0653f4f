"""Other models than the one that is attacked, whose adversarials are tried on it."""

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from adapters.classifier import Classifier, tensors
from adapters.methods.adapter_effect import adapted_layers, is_peft, switched_off
from adapters.outputs import ReadOut
from bench.engine.runner import Target
from bench.store.records import Ints
from bench.trust.binarisation import last_linear
from bench.trust.recorder import spaced, take

Source = tuple[str, Callable[[], Classifier | None]]
"""A name, and the classifier whose adversarials are transferred; None if there is none."""
FITTED, BATCH = 256, 32
"""Samples that a head is fitted to, and how many of them go through the model together."""
NOISE = 4 / 255
"""Around images on which the model and its part before the rest are compared."""
RIDGE = 0.1
"""Penalty weight on a fitted head, of the features' mean square in each direction that the samples span."""


class BeforeTheRest(Classifier):
    """What the last linear layer of ``inner`` gives: its logits, unless something comes after."""

    def __init__(self, inner: Classifier, layer: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.inner, self.layer, self.num_classes = inner, (layer,), inner.num_classes

    def forward(self, x: Tensor) -> Tensor:
        """That layer's output for ``x``; the logits where it has no part in them."""
        seen: list[Tensor] = []
        hook = self.layer[0].register_forward_hook(lambda _, __, output: seen.append(output))
        try:
            seen.insert(0, self.inner(x))
        finally:
            hook.remove()
        own, given = seen[0], seen[-1].float()
        read_out = _read_out(self.inner)
        return given if read_out is None or given is own or given.dim() != 2 else read_out(given)


class WithoutAdapter(Classifier):
    """``inner`` with its adapter switched off; what was trained beside it stays."""

    def __init__(self, inner: Classifier) -> None:
        nn.Module.__init__(self)
        self.inner, self.num_classes = inner, inner.num_classes

    def forward(self, x: Tensor) -> Tensor:
        """Logits of ``x`` by the model that was adapted."""
        with switched_off(adapted_layers(self.inner.network).values()):
            logits: Tensor = self.inner(x)
        return logits


class Refitted(Classifier):
    """``inner`` with linear head ``weight`` (features x classes), ``bias`` in place of ``head``, its own."""

    def __init__(self, inner: Classifier, head: nn.Linear, weight: Tensor, bias: Tensor) -> None:
        nn.Module.__init__(self)
        self.inner, self.head, self.num_classes = inner, (head,), inner.num_classes
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of ``x`` by the new head."""
        features = _passed_to(self.inner, list(self.head), x)[-1][1]
        return features @ self.get_buffer("weight") + self.get_buffer("bias")


def sources(
    target: Target, held: Ints, raw: Classifier, siblings: Sequence[Source]
) -> Iterator[tuple[str, Source]]:
    """Each source with the check that it serves; ``held`` are the samples that attacks leave unbroken.

    They are a part of the model itself, then the model without its adapter, or ``siblings``.
    """
    yield "behind-head", ("the last linear layer's own output", lambda: before_the_rest(target, held))
    if is_peft(getattr(raw, "network", raw)):  # and so at hand, where another model has to be loaded
        siblings = [("the model without its adapter", lambda: WithoutAdapter(raw))]
    for name, load in siblings:
        yield "sibling", (name, lambda load=load: with_a_head(load(), target))  # type: ignore[misc]


def before_the_rest(target: Target, held: Ints) -> Classifier | None:
    """The model up to its last linear layer; None if nothing after it changes logits or their gradients.

    They are looked at on some samples as they are, and on some of ``held`` under a little noise: what comes
    after may leave most images alone, or all that no attack has moved.
    """
    layer, read_out = last_linear(target.classifier), _read_out(target.classifier)
    outputs = target.classifier.num_classes if read_out is None else read_out.of
    if layer is None or layer.out_features != outputs:
        return None
    early = BeforeTheRest(target.classifier, layer)
    x = torch.cat([_images(target, target.correct[:8]), _noisy(_images(target, held[spaced(len(held), 8)]))])
    own, before = (_logits_and_gradient(model, x) for model in (target.classifier, early))
    if own[0].shape != before[0].shape:
        return None
    return None if all(_alike(a, b) for a, b in zip(own, before, strict=True)) else early


def _images(target: Target, index: Ints) -> Tensor:
    x, _ = tensors(take(target, index).samples, target.classifier.device)
    return x


def _noisy(x: Tensor) -> Tensor:
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)).to(x) * 2 - 1
    return (x + NOISE * noise).clamp(0, 1)


def _read_out(classifier: Classifier) -> ReadOut | None:
    """What makes logits of the outputs of the network in ``classifier``; None where they are its logits."""
    return getattr(classifier, "read_out", None)  # one that wraps another has none of its own


@torch.no_grad()
def with_a_head(source: Classifier | None, target: Target) -> Classifier | None:
    """``source``; if its head holds nothing (an adapter on it does, or none is trained), with a fitted one.

    That one is linear, and fitted to samples of ``target`` and their labels by ridge regression.
    """
    if source is None:
        return None
    x, y = tensors(target.samples.take(spaced(len(target.samples), FITTED)), target.classifier.device)
    logits = source(x[:BATCH])
    called = _passed_to(source, [m for m in source.modules() if isinstance(m, nn.Linear)], x[:1])
    if not called or bool((logits != logits[:, :1]).any()):
        return source
    head = called[-1][0]
    features = torch.cat([_passed_to(source, [head], part)[-1][1] for part in torch.split(x, BATCH)])
    return Refitted(source, head, *_ridge(features, F.one_hot(y, source.num_classes).to(features))).eval()


def _ridge(features: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Weight and bias that give ``wanted`` (N x classes) of ``features`` (N x D).

    They solve N equations, since samples are few.
    """
    mean, centre = features.mean(0), wanted.mean(0)
    centred = features - mean
    gram = centred @ centred.T
    penalty = RIDGE * gram.trace() / len(gram) + torch.finfo(gram.dtype).tiny
    weight = centred.T @ torch.linalg.solve(gram + penalty * torch.eye(len(gram)).to(gram), wanted - centre)
    return weight, centre - mean @ weight


def _passed_to(model: nn.Module, layers: Sequence[nn.Linear], x: Tensor) -> list[tuple[nn.Linear, Tensor]]:
    """Those of ``layers`` that ``model`` calls for ``x``, in order, with what each is given: N x features."""
    seen: list[tuple[nn.Linear, Tensor]] = []
    hooks = [
        layer.register_forward_pre_hook(lambda layer, inputs: seen.append((layer, inputs[0].flatten(1))))
        for layer in layers
    ]
    try:
        model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _alike(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().amax() <= 1e-3 * a.abs().amax())


def _logits_and_gradient(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    inputs = x.clone().requires_grad_(True)
    logits = model(inputs)
    if not logits.requires_grad:
        return logits.detach(), torch.zeros_like(x)
    weights = torch.linspace(-1, 1, logits.shape[1], device=x.device)
    (gradient,) = torch.autograd.grad((logits * weights).sum(), inputs, allow_unused=True)
    return logits.detach(), torch.zeros_like(x) if gradient is None else gradient
