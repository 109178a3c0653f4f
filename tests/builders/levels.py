"""An attack on bit-depth squeezing that shares nothing with the suites': a search over the levels themselves.

What a squeezed model sees of a ball is a box of levels: each value may take any level between those of its
two ends. So no gradient has to pass through the rounding, and no library takes part: descent is on the
network alone, from level to level.
"""

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor

from adapters.classifier import Classifier

SHARES = (1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.1, 0.1, 0.05, 0.05, 0.02, 0.02)
"""Of its values, how many an image may move in each round: those by which the loss gains most."""


def search(network: Classifier, x: Tensor, y: Tensor, eps: float, bits: int, restarts: int = 4) -> Tensor:
    """Images within ``eps`` (linf) of ``x``, whose levels the undefended ``network`` takes for another
    class, where found."""
    top = 2**bits - 1
    low, high = ((end.clamp(0, 1) * top).round() for end in (x - eps, x + eps))
    found = x.clone()
    for restart in range(restarts):
        generator = torch.Generator().manual_seed(restart)
        own = (x * top).round()
        levels = (
            own
            if restart == 0
            else low + ((high - low + 1) * torch.rand(x.shape, generator=generator)).floor()
        )
        for share in (0.0, *SHARES):
            levels = _moved(network, levels, low, high, y, top, share)
            wrong = network(levels / top).argmax(1) != y
            nearest = torch.minimum(torch.maximum(levels / top, x - eps), x + eps).clamp(0, 1)
            found = torch.where(wrong[:, None, None, None], nearest, found)
    return found


def _moved(
    network: Classifier, levels: Tensor, low: Tensor, high: Tensor, y: Tensor, top: int, share: float
) -> Tensor:
    """``levels`` with the ``share`` of each image's values moved, to an end of their range, by which the
    margin falls most."""
    inputs = (levels / top).requires_grad_(True)
    logits = network(inputs)
    others = logits.masked_fill(F.one_hot(y, logits.shape[1]).bool(), -torch.inf).amax(1)
    (gradient,) = torch.autograd.grad((others - logits.gather(1, y[:, None])[:, 0]).sum(), inputs)
    ends = torch.where(gradient > 0, high, low)
    gain = (gradient * (ends - levels)).flatten(1)
    count = int(share * gain.shape[1])
    least = gain.topk(count, dim=1).values[:, -1:] if count else torch.full_like(gain[:, :1], torch.inf)
    chosen = ((gain >= least) & (gain > 0)).view_as(levels)
    return torch.where(chosen, ends, levels)
