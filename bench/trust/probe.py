"""What a check of a model is given: the model as trained and as attacked, and a few samples it gets right."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from torch import Tensor

from adapters.classifier import Classifier, tensors
from bench.attacks.attack import Norm
from bench.engine.runner import Target
from bench.store.evidence import Evidence
from bench.trust.recorder import subset


@dataclass(frozen=True)
class Probe:
    """``raw``: the model as trained. ``target``: as attacked, with the few samples.

    ``libraries``: it is attacked through.

    ``x`` are the images (N x 3 x H x W in [0, 1]), ``y`` their labels (N). Within the budget that is
    examined, all values of an image can be moved at once by ``reach``.
    """

    raw: Classifier
    target: Target
    libraries: Sequence[str]
    x: Tensor
    y: Tensor
    reach: float = math.inf

    @property
    def model(self) -> Classifier:
        """The form that is attacked."""
        return self.target.classifier


def make_probe(
    raw: Classifier,
    target: Target,
    count: int,
    libraries: Sequence[str],
    budgets: Mapping[Norm, Fraction] | None = None,
) -> Probe:
    """Of ``count`` samples of ``target``, which is examined at the ``budgets``, by norm."""
    few = subset(target, count)
    x, y = tensors(few.samples, few.classifier.device)
    return Probe(raw, few, libraries, x, y, _reach(budgets or {}, x[0].numel()))


def _reach(budgets: Mapping[Norm, Fraction], values: int) -> float:
    """By how much the largest of ``budgets`` moves each of an image's ``values`` if it moves all of them."""
    each = {"linf": 1.0, "l2": values**-0.5}
    return max((float(eps) * each[norm] for norm, eps in budgets.items() if norm in each), default=math.inf)


def found(check: str, value: float, n: int, detail: str = "") -> Evidence:
    """Evidence on the model alone: ``value`` on ``n`` samples, and in words what was seen."""
    return Evidence(check, "", 0, None, None, float(value), n, detail)
