"""What holds up a GPU, counted on the CPU: values that Python reads while an attack steps, and work done
anew for each eps."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from adapters.classifier import Classifier, tensors
from adapters.images import ImageSet
from bench.attacks import randomness
from bench.attacks.registry import Library
from bench.engine.runner import make_target, run_unit
from tests.builders.attacking import make_unit, spec

READ = "aten._local_scalar_dense.default"
"""The operation behind ``item``, ``float`` and ``if``: the host waits until the device gets there."""


class Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts torch's operations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: dict[str, int] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls[str(func)] += 1
        return func(*args, **(kwargs or {}))


def values_read(
    library: Library, classifier: Classifier, samples: ImageSet, steps: int, declared: dict[str, Any]
) -> int:
    unit = make_unit(spec(**declared, steps=steps), library, [0.02])
    target = make_target(classifier, samples, len(samples))
    counting = Counting()
    with counting:
        run_unit(unit, target)
    return counting.calls[READ]


@pytest.mark.parametrize(("library", "by_itself"), [("foolbox", 0), ("art", 1)])
@pytest.mark.parametrize(
    "declared",
    [
        {"attack": "pgd", "random_start": True},
        {"attack": "pgd", "norm": "l2"},
        {"attack": "bim"},
        {"attack": "mi-fgsm"},
    ],
)
def test_a_step_reads_no_value_but_those_that_the_library_reads(
    library: Library, by_itself: int, declared: dict[str, Any], linear: Classifier, samples: ImageSet
) -> None:
    few, many = (values_read(library, linear, samples, steps, declared) for steps in (5, 15))
    assert few, "nothing was counted: reading a value has another name now"
    assert many - few == 10 * by_itself  # ART looks for NaN in each gradient


@pytest.mark.parametrize("library", ["foolbox", "art"])
def test_random_starts_are_drawn_once_for_a_grid(
    library: Library, linear: Classifier, samples: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw: Callable[..., Any] = randomness._in_unit_ball
    drawn = []
    monkeypatch.setattr(randomness, "_in_unit_ball", lambda *args: drawn.append(args) or draw(*args))  # type: ignore[func-returns-value]
    target = make_target(linear, samples, len(samples))
    run_unit(make_unit(spec(attack="pgd", steps=2, random_start=True), library, [0.01, 0.02, 0.03]), target)
    assert len(drawn) == len(target.correct) > 0


def test_pixels_are_the_same_whoever_divides_them() -> None:
    images = np.arange(3 * 256, dtype=np.uint8).reshape(1, 3, 16, 16)
    samples = ImageSet(images, np.array([0]), ("s/0",), ("a",))
    x, y = tensors(samples, torch.device("cpu"))
    np.testing.assert_array_equal(x.numpy(), samples.x)
    assert x.dtype == torch.float32
    assert y.tolist() == [0]
