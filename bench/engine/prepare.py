"""A model made ready to be attacked: lossless form, clean predictions, a batch for it and the machine."""

import gc
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor

from adapters.classifier import Classifier, tensors
from adapters.defences.defended import Defended
from adapters.fast.lossless import lossless
from adapters.images import ImageSet
from adapters.precision import autocast
from adapters.spec import Precision
from bench.engine.judging import ONE_ANSWER, Judging
from bench.engine.runner import Target, make_target

T = TypeVar("T")
PIXELS = 2**18
"""Pixels of a batch on the CPU.

Attacks on a ResNet18 gain nothing from more: on one core a gradient takes 7.6 ms an image at
64 px in batches of 32 as of 64, 88 ms at 224 px in batches of 8 (91 in 4, 100 in 16), 1.8 ms at 32 px in 128
(2.0 in 64).
"""
SMALLEST, LARGEST_ON_CPU, LARGEST = 8, 128, 4096
PROBED = 64
"""Samples on which the lossless form is checked."""

log = logging.getLogger(__name__)


def prepare(
    classifier: Classifier,
    samples: ImageSet,
    batch_size: int | None,
    precision: Precision,
    judging: Judging = ONE_ANSWER,
) -> Target:
    """``classifier`` ready to be attacked in ``precision`` on ``samples``.

    None for the batch size leaves it to the machine.
    """
    probe, _ = tensors(samples.take(np.arange(min(PROBED, len(samples)))), classifier.device)
    fast = _fast(classifier, probe, precision)
    size = batch_size or best_batch(fast, samples, precision)
    target = halving(size, lambda fits: make_target(fast, samples, fits, precision, judging))
    return replace(target, batch_size=size)


def _fast(classifier: Classifier, probe: Tensor, precision: Precision) -> Classifier:
    """The lossless form of ``classifier``, or the same defences around that of each of its members."""
    if isinstance(classifier, Defended):
        return classifier.around([_fast(member, probe, precision) for member in classifier.inner])
    return halving(max(len(probe), 1), lambda size: lossless(classifier, probe[:size], precision))


def best_batch(classifier: Classifier, samples: ImageSet, precision: Precision) -> int:
    """How many of ``samples`` to attack at once: on a GPU the most that fit, found by trying."""
    height, width = samples.input_shape[1:]
    size = batch_on_cpu(max(height * width, (classifier.side or 0) ** 2))
    if classifier.device.type == "cpu":
        return size

    def attempt(count: int) -> None:
        x = torch.zeros((count, *samples.input_shape), device=classifier.device, requires_grad=True)
        with autocast(precision, x.device):
            logits = classifier(x)
        if logits.requires_grad:
            torch.autograd.grad(F.cross_entropy(logits, logits.argmax(1)), x)

    return largest_fitting(attempt, size, min(LARGEST, len(samples)))


def batch_on_cpu(pixels: int) -> int:
    """Images of ``pixels`` pixels to attack at once on a CPU."""
    return min(max(PIXELS // pixels, SMALLEST), LARGEST_ON_CPU)


def largest_fitting(attempt: Callable[[int], object], start: int, most: int) -> int:
    """The largest of ``start`` times 1, 2, 4, ... up to ``most``, of which twice as many fit.

    The other half is for what an attack holds beside a gradient.
    """
    size = start
    while size * 2 <= most and _fits(attempt, size * 4):
        size *= 2
    return size


def _fits(attempt: Callable[[int], object], size: int) -> bool:
    try:
        attempt(size)
    except Exception as error:
        if not out_of_memory(error):
            raise
        return False
    finally:
        _free_memory()
    return True


def halving(size: int, attempt: Callable[[int], T]) -> T:
    """``attempt(size)``, again with half the size as long as it runs out of memory.

    Raises what a size of 1 raises.
    """
    while True:
        try:
            return attempt(size)
        except Exception as error:
            if size == 1 or not out_of_memory(error):
                raise
            log.warning("out of memory with batches of %d; trying %d", size, size // 2)
        size //= 2
        _free_memory()


OUT_OF_MEMORY = (
    "can't allocate memory",
    "out of memory",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
)


def out_of_memory(error: BaseException) -> bool:
    """Whether numpy, torch or the device could not allocate.

    On the CPU, and in CUDA's libraries, it is said in words only.
    """
    said = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in said for words in OUT_OF_MEMORY)
    )


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
