"""What feeds what in a network, seen as it runs: whose weights a convolution uses, who reads its output."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Pair = tuple[_ConvNd, _BatchNorm, Tensor]
aten = torch.ops.aten
READS_VALUES = {
    aten._local_scalar_dense.default,
    aten.is_nonzero.default,
    aten.equal.default,
    aten.nonzero.default,
}
"""Operations by whose results a network may choose another way for other images."""


class Flow(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Watches one pass of ``network``, which is in eval mode.

    Unlike tracing, that takes networks of any code.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        modules = [module for module in network.modules() if not _is_hooked(module)]
        # What reckons its own weights, as torch's parametrizations do, has none among its parameters.
        convolutions = [module for module in modules if isinstance(module, _ConvNd)]
        # What reckons its own weights, as torch's parametrizations do, has none among its parameters.
        self._convolutions = {
            id(m._parameters["weight"]): m for m in convolutions if "weight" in m._parameters
        }
        self._norms = {
            id(m.running_mean): m for m in modules if isinstance(m, _BatchNorm) and m.running_mean is not None
        }
        self._made: dict[int, tuple[_ConvNd, Tensor]] = {}  # the tensor is kept, so that its id stays its own
        self._reads: Counter[int] = Counter()
        self._fed: dict[_BatchNorm, list[tuple[_ConvNd, Tensor] | None]] = {}
        self.depends_on_values = False
        """Whether other images may go another way: then nothing that is seen holds of them."""
        self.once: list[_ConvNd] = []
        """The convolutions that ran once, with weights that nothing else reads."""
        self.pairs: list[Pair] = []
        """Each of these whose output only one BatchNorm reads, with that BatchNorm and that output."""

    def watch(self, model: nn.Module, x: Tensor) -> None:
        """Run ``model``, the network or what it is in, on ``x``."""
        with torch.no_grad(), self:
            out = model(x)
        self._reads.update(id(tensor) for tensor in tree_leaves(out) if isinstance(tensor, Tensor))
        times = Counter(module for module, _ in self._made.values())
        self.once = [
            module for module, count in times.items() if count == 1 and self._reads[id(module.weight)] == 1
        ]
        self.pairs = [
            pair for norm, inputs in self._fed.items() if (pair := self._pair(norm, inputs)) is not None
        ]

    def _pair(self, norm: _BatchNorm, inputs: list[tuple[_ConvNd, Tensor] | None]) -> Pair | None:
        if len(inputs) != 1 or inputs[0] is None:
            return None
        convolution, output = inputs[0]
        alone = convolution in self.once and self._reads[id(output)] == 1
        return (convolution, norm, output) if alone else None

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, Tensor)]
        out = func(*args, **(kwargs or {}))
        self._reads.update(id(tensor) for tensor in given)
        self.depends_on_values |= func in READS_VALUES
        if func is aten.convolution.default and (module := self._convolutions.get(id(args[1]))) is not None:
            if args[2] is module.bias:
                self._made[id(out)] = module, out
                self._reads[id(out)] = 0  # those were of a tensor that is gone, whose id it has
        elif norm := next((self._norms[id(t)] for t in given if id(t) in self._norms), None):
            self._fed.setdefault(norm, []).append(self._made.get(id(args[0])))
        return out


def _is_hooked(module: nn.Module) -> bool:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, kind) for kind in kinds)
