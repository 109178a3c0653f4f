"""Everything random comes from the suite's seed and sample's id: equal in any library, at any batch size."""

import hashlib
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from numpy.random import mtrand
from torch import Tensor

from bench.attacks.question import Question

Doubles = npt.NDArray[np.float64]


def seed_of(question: Question, i: int, purpose: str) -> int:
    """64 bits from the seed, the restart and the id of sample ``i``."""
    text = f"{purpose}/{question.seed}/{question.restart}/{question.ids[i]}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def seed_of_draws(question: Question) -> int:
    """From what a random model draws while it is attacked.

    It is the same for all samples, so that none depends on its company.
    """
    return int.from_bytes(
        hashlib.sha256(f"draws/{question.seed}/{question.restart}".encode()).digest()[:8], "big"
    )


def random_start(question: Question, norm: str) -> Tensor:
    """A point drawn uniformly from the ball of size eps around each image, clipped to [0, 1].

    The directions do not depend on eps, nor on the model: its seed is the suite's, the restart's and the
    sample's.
    """
    ball = question.shared.start.recall(lambda: _in_unit_balls(question, norm))
    return (question.x + question.eps * ball).clamp(0, 1)


def _in_unit_balls(question: Question, norm: str) -> Tensor:
    """A point for each sample of ``question``: drawn once for a grid, since a GPU would wait for each."""
    shape, seeds = question.x.shape[1:], [seed_of(question, i, "start") for i in range(len(question))]
    drawn = [
        _in_unit_ball(np.random.default_rng(seed), shape.numel(), norm).astype(np.float32) for seed in seeds
    ]
    return torch.from_numpy(np.stack(drawn)).reshape(-1, *shape).to(question.x.device)


def _in_unit_ball(generator: np.random.Generator, n: int, norm: str) -> Doubles:
    """One point uniform in the unit ball of R^n (Barthe et al. 2005 for l1, Muller 1959 for l2)."""
    if norm == "linf":
        return generator.uniform(-1, 1, n)
    if norm == "l2":
        direction = generator.standard_normal(n)
        return np.asarray(direction / np.linalg.norm(direction) * generator.uniform() ** (1 / n))
    exponentials = generator.exponential(size=n + 1)
    return np.asarray(generator.choice([-1.0, 1.0], n) * exponentials[:n] / exponentials.sum())


class Streams:
    """The global generators of one attack among several that take turns: each goes on with its own."""

    def __init__(self, seed: int) -> None:
        self._numpy = np.random.RandomState(seed % 2**32)._bit_generator
        self._python = random.Random(seed).getstate()  # noqa: S311
        self._torch = [
            torch.Generator(made.device).manual_seed(seed % 2**63).get_state() for made in _generators()
        ]

    def resume(self) -> None:
        """Let the libraries draw from these."""
        mtrand.set_bit_generator(self._numpy)
        random.setstate(self._python)
        for generator, state in zip(_generators(), self._torch, strict=True):
            generator.set_state(state)

    def pause(self) -> None:
        """Keep how far they have been drawn from."""
        self._python = random.getstate()
        self._torch = [generator.get_state() for generator in _generators()]


def _generators() -> tuple[torch.Generator, ...]:
    return (torch.default_generator, *torch.cuda.default_generators)


@contextmanager
def global_streams(seed: int) -> Iterator[None]:
    """Seed the global generators that libraries draw from, then restore them and the warning filters."""
    generators = _generators()
    states = [generator.get_state() for generator in generators]
    kept = np.random.get_state(), random.getstate()  # noqa: NPY002 (the libraries draw from the legacy generator)
    with warnings.catch_warnings():
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        for generator in generators:
            generator.manual_seed(seed % 2**63)
        try:
            yield
        finally:
            np.random.set_state(kept[0])  # noqa: NPY002
            random.setstate(kept[1])
            for generator, state in zip(generators, states, strict=True):
                generator.set_state(state)
