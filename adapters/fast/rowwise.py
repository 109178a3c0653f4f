"""Networks asked so that an image's answer is the same, bit for bit, whatever it is asked together with."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from adapters.fast.lossless import TOLERANCE
from adapters.fast.packed import can_pack, packed_if
from adapters.precision import autocast
from adapters.spec import Precision

PIXELS, WIDEST = 2**17, 32
"""Pixels and images of a batch on a CPU.

A packed ResNet18 gains little from more: on one core 0.43 ms an image of 32 px in
batches of 32, 0.40 in 64; 1.9, 1.7 and 1.7 ms at 64 px in 8, 16 and 32; and 224 px, where one image fills the
core, 2.
"""
WIDEST_ON_GPU = 128
CHECKED = 8
"""Images on which a batch is compared with the widest, if they are not more than two of it."""

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class _Found:
    """``form``: what is asked in a network's place, None for itself.

    ``sizes``: of the batches that answer alike; ``device``: where the network is.
    """

    form: nn.Module | None
    sizes: Sizes
    device: torch.device


_found: WeakKeyDictionary[nn.Module, dict[tuple[Precision, torch.Size], _Found]] = WeakKeyDictionary()
"""What has been found of a network: each attack asks it anew."""


@dataclass(frozen=True)
class Rowwise:
    """``network`` (frozen, eval mode) for gradient-free passes, in batches where no answer depends on others.

    Kernels are chosen by the size of the batch, and round differently: on a CPU usually those for one image
    alone, on a GPU often any. Which sizes answer alike is tried once for each shape of image; what is asked
    is filled up to one of these. The images may be on another device than the network: so is the answer.
    """

    network: nn.Module
    precision: Precision

    def sizes(self, x: Tensor) -> Sizes:
        """The sizes of batches that answer alike, rising, for images like ``x`` (N x ...).

        There are none if not even one always does.
        """
        return self._for(x).sizes

    def __call__(self, x: Tensor) -> Tensor:
        """What the network says of ``x`` (N x ...), N x outputs. Raises what it raises."""
        found = self._for(x)
        if not found.sizes:
            return self._pass(found, x)
        return torch.cat([self._filled(found, part) for part in torch.split(x, found.sizes[-1])])

    def _for(self, x: Tensor) -> _Found:
        known, what = _found.setdefault(self.network, {}), (self.precision, x.shape[1:])
        if what not in known:
            known[what] = self._find(x.shape[1:])
        return known[what]

    @torch.no_grad()
    def _find(self, shape: torch.Size) -> _Found:
        device = _device_of(self.network)
        side = getattr(self.network, "side", None) or 0
        count = widest(max(shape[-1] * shape[-2], side**2), device)
        x = torch.rand((count, *shape), generator=torch.Generator().manual_seed(0)).to(device)
        packs = device.type == "cpu" and self.precision == "fp32" and can_pack()
        form = _packed_form(self.network, x) if packs else None
        found = _Found(form, (), device)
        return replace(found, sizes=agreeing(lambda part: self._pass(found, part), x))

    def _filled(self, found: _Found, x: Tensor) -> Tensor:
        size = next(size for size in found.sizes if size >= len(x))
        rest = x[:1].expand(size - len(x), *x.shape[1:])
        return self._pass(found, torch.cat([x, rest]) if len(rest) else x)[: len(x)]

    @torch.no_grad()
    def _pass(self, found: _Found, x: Tensor) -> Tensor:
        with autocast(self.precision, found.device):
            given: Tensor = (found.form or self.network)(x.to(found.device))
        return given.to(x.device)


def _device_of(network: nn.Module) -> torch.device:
    weights = chain(network.parameters(), network.buffers())
    return next((tensor.device for tensor in weights), torch.device("cpu"))


def _packed_form(network: nn.Module, x: Tensor) -> nn.Module | None:
    """The packed copy of ``network``, if it says the same of ``x`` but for rounding."""

    def agrees(form: nn.Module) -> bool:
        wanted = network(x)
        return float((wanted - form(x)).abs().max()) <= TOLERANCE * max(1.0, float(wanted.abs().max()))

    return packed_if(network, agrees)


def agreeing(ask: Callable[[Tensor], Tensor], x: Tensor) -> Sizes:
    """Batch sizes at which ``ask`` gives each of ``x`` the same answer as in all of ``x``, and that size."""
    wanted = ask(x)
    if len(wanted) != len(x) or not torch.equal(ask(x.flip(0)).flip(0), wanted):
        return ()
    return tuple(size for size in _powers_of_two(len(x)) if size == len(x) or _agrees(ask, x, wanted, size))


def _agrees(ask: Callable[[Tensor], Tensor], x: Tensor, wanted: Tensor, size: int) -> bool:
    compared = min(len(x), max(CHECKED, 2 * size))
    parts = [ask(part) for part in torch.split(x[:compared], size)]
    return torch.equal(torch.cat(parts), wanted[:compared])


def widest(pixels: int, device: torch.device) -> int:
    """How many images of ``pixels`` pixels to ask about at once, where no gradient is asked for."""
    if device.type != "cpu":
        return WIDEST_ON_GPU
    return max(size for size in _powers_of_two(WIDEST) if size <= max(PIXELS // pixels, 2))


def _powers_of_two(most: int) -> Iterator[int]:
    size = 1
    while size <= most:
        yield size
        size *= 2
