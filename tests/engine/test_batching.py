"""Batches: as large as fit, answers do not depend on them, nor memory on the number of samples."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adapters.classifier import tensors
from adapters.images import ImageSet
from bench.engine.prepare import batch_on_cpu, largest_fitting, prepare
from bench.engine.runner import run_unit
from bench.executors.parts import run_in_parts
from tests.builders.linear import linear_classifier, linear_samples
from tests.executors.test_executors import UNITS, assert_equal, open_linear


@pytest.mark.parametrize(
    ("holds", "most", "found"),
    [(100, 4096, 32), (64, 4096, 32), (63, 4096, 16), (10_000, 20, 16), (9, 4096, 8)],
)
def test_the_largest_batch_of_which_twice_as_many_fit(holds: int, most: int, found: int) -> None:
    tried: list[int] = []

    def attempt(count: int) -> None:
        tried.append(count)
        if count > holds:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    assert largest_fitting(attempt, 8, most) == found
    assert len(tried) == len(set(tried)), "each size is tried once"


def test_another_error_is_not_taken_for_a_full_memory() -> None:
    def attempt(_: int) -> None:
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        largest_fitting(attempt, 8, 64)


@pytest.mark.parametrize(("side", "images"), [(16, 128), (32, 128), (64, 64), (96, 28), (224, 8)])
def test_a_batch_on_the_cpu_is_bounded_by_its_pixels(side: int, images: int) -> None:
    assert batch_on_cpu(side * side) == images


def test_the_suite_decides_where_it_says_a_size() -> None:
    samples = linear_samples()
    assert prepare(linear_classifier(), samples, None, "fp32").batch_size == batch_on_cpu(4)
    assert prepare(linear_classifier(), samples, 7, "fp32").batch_size == 7


def test_parts_of_another_batch_size_are_not_taken_for_ones_of_this(tmp_path: Path) -> None:
    """A run that was begun on one machine and goes on, from the same folder, on another."""
    run = open_linear(tmp_path)
    target = prepare(linear_classifier(), linear_samples(), 10, "fp32")
    run_in_parts(UNITS[0], target, run)
    mixed = run_in_parts(UNITS[0], replace(target, batch_size=16), run)
    for a, b in zip(mixed.records, run_unit(UNITS[0], target).records, strict=True):
        assert_equal(a, b)


def test_never_more_than_one_batch_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples are kept as bytes; as floats, which take four times that, there is one batch of them."""
    unpacked: list[int] = []

    def watched(images: ImageSet, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        unpacked.append(len(images))
        return tensors(images, device)

    for module in ("bench.engine.prepare", "bench.engine.runner"):
        monkeypatch.setattr(f"{module}.tensors", watched)
    target = prepare(linear_classifier(), linear_samples(1000), 64, "fp32")
    run_in_parts(UNITS[0], target, open_linear(tmp_path))
    assert max(unpacked) == 64
    assert sum(unpacked) > 1000
