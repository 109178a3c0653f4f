"""How long a network takes here, for dry runs: a few random images through an untrained one."""

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from adapters.backbones.networks import build_backbone
from adapters.backbones.sources import side_inside
from adapters.fast.rowwise import widest
from adapters.spec import BackboneSpec
from bench.attacks.cost import Cost

IMAGES = 4
"""Enough to keep one core busy, few enough for seconds on a large network."""


class Probe:
    """Times networks on ``device`` on images of ``shape`` (C x H x W), each architecture once."""

    def __init__(self, device: str, shape: tuple[int, ...], classes: int) -> None:
        self._device, self._shape, self._classes = device, shape, classes
        self._known: dict[str, tuple[float, float]] = {}

    def seconds(self, spec: BackboneSpec, asked: Cost) -> float:
        """How long the network of ``spec`` takes for what is ``asked`` of it."""
        name = spec.model_dump_json()
        if name not in self._known:
            self._known[name] = self._measured(spec)
        gradient, query = self._known[name]
        return asked.gradients * gradient + asked.queries * query

    def _measured(self, spec: BackboneSpec) -> tuple[float, float]:
        """Seconds that an image takes forwards and backwards, and only forwards among others."""
        side = side_inside(spec, self._shape[-1]) or self._shape[-1]
        network = build_backbone(spec, self._classes, 0).to(self._device).eval()
        few, many = (
            torch.rand(count, self._shape[0], side, side, device=self._device)
            for count in (IMAGES, widest(side**2, torch.device(self._device)))
        )
        return _taken(_gradient, network, few), _taken(_answer, network, many)


def _taken(ask: Callable[[nn.Module, Tensor], Tensor], network: nn.Module, x: Tensor) -> float:
    for _ in range(2):  # the first time, memory and kernels are still to be found
        started = time.monotonic()
        float(ask(network, x).sum())  # a GPU has finished only then
    return (time.monotonic() - started) / len(x)


def _gradient(network: nn.Module, x: Tensor) -> Tensor:
    total = network(x.requires_grad_()).sum()
    return torch.autograd.grad(total, x)[0] if total.requires_grad else total


@torch.no_grad()
def _answer(network: nn.Module, x: Tensor) -> Tensor:
    answer: Tensor = network(x)
    return answer
