"""How long a gradient takes here, for dry runs: a few random images through an untrained network."""

import time
from math import prod

from adapters.backbones.sources import side_inside
from adapters.spec import BackboneSpec
from bench.attacks.attack import Attack

IMAGES = 4
"""Enough to keep one core busy, few enough for seconds on a large network."""
REPEATED = ("steps", "restarts", "binary_search_steps", "max_evaluations")
"""Parameters of attacks that multiply what they cost."""


class Probe:
    """Times networks on ``device`` on images of ``shape`` (C x H x W), each architecture once."""

    def __init__(self, device: str, shape: tuple[int, ...], classes: int) -> None:
        self._device, self._shape, self._classes = device, shape, classes
        self._known: dict[str, float] = {}

    def gradient(self, spec: BackboneSpec) -> float:
        """Seconds that one image takes forwards and backwards through the network of ``spec``."""
        name = spec.model_dump_json()
        if name not in self._known:
            self._known[name] = self._measured(spec)
        return self._known[name]

    def _measured(self, spec: BackboneSpec) -> float:
        import torch

        from adapters.backbones.networks import build_backbone

        side = side_inside(spec, self._shape[-1]) or self._shape[-1]
        network = build_backbone(spec, self._classes, 0).to(self._device).eval()
        x = torch.rand(IMAGES, self._shape[0], side, side, device=self._device, requires_grad=True)
        for _ in range(2):  # the first time, memory and kernels are still to be found
            started = time.monotonic()
            total = network(x).sum()
            (found,) = torch.autograd.grad(total, x) if total.requires_grad else (total,)
            float(found.sum())  # a GPU has finished only then
        return (time.monotonic() - started) / IMAGES


def passes(attack: Attack) -> int:
    """About how many passes through the network ``attack`` makes for one image: each counts as a gradient."""
    repeated = prod(int(getattr(attack, name, 1)) for name in REPEATED)
    return max(repeated, int(getattr(attack, "queries", 0)))
