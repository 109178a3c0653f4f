"""Images judged again by an untouched copy of the model: in another order, company and process."""

import copy
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from adapters.classifier import Classifier
from adapters.precision import multiplying
from bench.store.evidence import Evidence
from bench.trust.forked_copy import asked_elsewhere

ALIKE = 0.01
"""Change of a logit, relative to the image's largest, up to which two answers are the same.

Batches of other sizes, and folded layers, are rounded otherwise.
"""


@multiplying("fp32")
def judged_again(
    attacked: Classifier, untouched: Classifier, clean: Tensor, adversarial: Tensor, others: Tensor
) -> Iterator[Evidence]:
    """Images (N x C x H x W), ``clean`` and ``adversarial``, that a copy of ``untouched`` judges otherwise.

    ``state``: asked for the adversarials first, with gradients on, in another process; ``attacked`` is the
    form that has been attacked. Their mirror images are asked for too, which no attack has shown the model:
    what it keeps of the others outside itself (in module globals, closures, a cache of its class) is in both
    processes alike. ``company``: one image at a time, in reverse, beside all together with ``others``, which
    fill a batch of the attacks' own size. Of a model that remembers, company could tell nothing of its own.
    """
    plain, fooled = (torch.cat([images, images.flip(3)]) for images in (clean, adversarial))
    reverse = partial(_in_reverse, untouched, plain, fooled)
    elsewhere = asked_elsewhere(reverse) if plain.device.type == "cpu" else None
    first = torch.cat([_inference(attacked, plain), _inference(attacked, fooled)])
    by_state = _differs(first, reverse() if elsewhere is None else elsewhere)
    yield _evidence(
        "state", by_state, "get a different answer from an untouched copy that is asked in a different order"
    )
    if not bool(by_state.any()):
        images = torch.cat([clean, adversarial])
        whole = torch.cat([images, others])
        together = _inference(copy.deepcopy(untouched), whole)[: len(images)]
        copied = copy.deepcopy(untouched)
        alone = torch.cat([_inference(copied, images[i : i + 1]) for i in reversed(range(len(images)))]).flip(
            0
        )
        yield _evidence(
            "company", _differs(together, alone), "get a different answer when they are asked for one by one"
        )


@torch.enable_grad()
def _in_reverse(untouched: Classifier, clean: Tensor, adversarial: Tensor) -> Tensor:
    """Logits of ``clean`` and ``adversarial`` by a copy of ``untouched`` asked for the latter first."""
    copied = copy.deepcopy(untouched)
    second, first = (copied(images.clone().requires_grad_(True)).detach() for images in (adversarial, clean))
    return torch.cat([first, second])


@torch.inference_mode()
def _inference(model: Classifier, x: Tensor) -> Tensor:
    logits: Tensor = model(x)
    return logits


def _differs(a: Tensor, b: Tensor) -> Tensor:
    gap = (a - b).abs().amax(1)
    return ~(gap <= ALIKE * torch.maximum(a.abs().amax(1), b.abs().amax(1)))


def _evidence(check: str, changed: Tensor, what: str) -> Evidence:
    count, n = int(changed.sum()), len(changed)
    return Evidence(check, "", 0, None, None, count / max(n, 1), n, f"{count} of {n} images {what}")
