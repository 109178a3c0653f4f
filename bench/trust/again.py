"""The same images judged again by an untouched copy of the model: in another order, in other company, in another state."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor

from adapters.classifier import Classifier
from adapters.precision import multiplying
from bench.store.evidence import Evidence

ALIKE = 0.01
"""Change of a logit, relative to the image's largest, up to which two answers are the same: batches of other sizes, and folded
layers, are rounded otherwise."""


@multiplying("fp32")
def judged_again(attacked: Classifier, untouched: Classifier, clean: Tensor, adversarial: Tensor) -> Iterator[Evidence]:
    """Of ``clean`` and ``adversarial`` images (N x C x H x W each), those with another answer by a copy of ``untouched``.

    ``state``: asked for the adversarials first, with gradients on; ``attacked`` is the form that has been attacked.
    ``company``: one image at a time, in reverse. Of a model that remembers, company could tell nothing of its own.
    """
    first = _inference(attacked, clean), _inference(attacked, adversarial)
    copied = copy.deepcopy(untouched)
    with torch.enable_grad():
        changed = [copied(images.clone().requires_grad_(True)).detach() for images in (adversarial, clean)]
    by_state = _differs(torch.cat(first), torch.cat([changed[1], changed[0]]))
    yield _evidence("state", by_state, "get another answer from an untouched copy that is asked in another order")
    if not bool(by_state.any()):
        images = torch.cat([clean, adversarial])
        together, copied = _inference(copy.deepcopy(untouched), images), copy.deepcopy(untouched)
        alone = torch.cat([_inference(copied, images[i : i + 1]) for i in reversed(range(len(images)))]).flip(0)
        yield _evidence("company", _differs(together, alone), "get another answer when they are asked for one by one")


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
