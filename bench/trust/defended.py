"""A defended model under examination: the checks are of the attack that knows its defences.

They see the same at each call.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from adapters.classifier import Classifier, tensors
from adapters.defences.adaptive import Adaptive, known
from adapters.defences.defended import Defended, Passes
from adapters.defences.ways import ARC, REPEAT, Way
from bench.engine.plan import Unit
from bench.engine.runner import Target, make_target
from bench.store.evidence import Evidence
from bench.trust.effort import plan_effort
from bench.trust.examine import Subject, examine
from bench.trust.recorder import subset

STEADY = 0
"""From what is drawn while a random model is examined: the same at each call."""
BY_DESIGN = ("slope", "partial-gradients")
"""What the gradient of a stand-in, or of the mean loss, is not: the slope of the answers themselves."""
HALVES = 8
"""Samples whose gradient is taken twice, over other draws."""


class Steady(Classifier):
    """``inner`` drawing alike at each call: the expectation over a few draws, which checks can repeat."""

    def __init__(self, inner: Classifier) -> None:
        nn.Module.__init__(self)
        self.inner, self.num_classes = inner, inner.num_classes

    def forward(self, x: Tensor) -> Tensor:
        """Logits of ``x``."""
        self.inner.begin(STEADY)
        logits: Tensor = self.inner(x)
        return logits


@dataclass(frozen=True)
class Examination:
    """What is examined of a defended model: ``units`` with the passes each took, at the suite's ``level``."""

    units: Mapping[Unit, int]
    level: str
    draws: int


def examine_defended(subject: Subject, asked: Examination) -> list[Evidence]:
    """The evidence on the attacks that know the defences of ``subject``.

    Of several ways, the first stands for all of them.
    """
    chosen = _of_one_way(list(asked.units))
    if not chosen:
        return []
    way = chosen[0].way
    target = subject.target
    raw, attacked = (_as_asked(model, way, asked.draws) for model in (subject.raw, target.classifier))
    size = max(target.batch_size // (asked.draws if _samples(target.classifier) else 1), 1)
    steady = make_target(attacked, target.samples, size, target.precision)
    costs = {unit: asked.units[unit] // _price(attacked, target) for unit in chosen}
    effort = plan_effort(asked.level, costs, len(steady.correct))  # type: ignore[arg-type]
    found = examine(replace(subject, raw=raw, target=steady, by_unit={}), effort)
    left_out = BY_DESIGN if way is not None and ("bpda" in way.name or way.merge == "mean-loss") else ()
    own = [e for e in found if e.check not in left_out]
    if way is not None and _samples(target.classifier):
        own.append(_halves(target, way, asked.draws, chosen[0]))
    return [e for one in own for e in _of_each(one, [u for u in asked.units if _same_role(u, chosen[0])])]


def _of_one_way(units: Sequence[Unit]) -> list[Unit]:
    """The units of the first way of adapting; where none is needed, those of the attacks as they are."""
    adapted = [u for u in units if u.way not in (None, ARC, REPEAT)]
    if adapted:
        return [u for u in adapted if u.way == adapted[0].way]
    return [u for u in units if u.source is None and u.role == "both"]


def _same_role(unit: Unit, chosen: Unit) -> bool:
    return unit.source is None and (unit.way is None) == (chosen.way is None)


def _samples(model: Classifier) -> bool:
    return isinstance(model, Defended) and model.stack.sampled


def _price(model: Steady, target: Target) -> int:
    """Passes through members that one answer of ``model`` takes: what the checks count as one pass."""
    x, _ = tensors(subset(target, 1).samples, target.classifier.device)
    passes: Passes = getattr(target.classifier, "passes", Passes())
    before = passes.forwards
    with torch.no_grad():
        model(x)
    return max(passes.forwards - before, 1)


def _as_asked(model: Classifier, way: Way | None, draws: int) -> Steady:
    if way is None or not isinstance(model, Defended):
        return Steady(model)
    steady = Steady(known(model, way, draws))
    steady.eval()
    return steady


def _of_each(e: Evidence, units: Sequence[Unit]) -> Iterator[Evidence]:
    """``e`` of every one of ``units`` that it holds of; what a stronger attack broke holds of the model."""
    if e.eps is not None:
        yield e
        return
    for unit in units:
        if e.attack in (None, unit.attack.label):
            yield replace(e, attack=unit.attack_label, library=unit.library)


def _halves(target: Target, way: Way, draws: int, unit: Unit) -> Evidence:
    """How far the gradients over two halves of the draws agree: their mean cosine."""
    model = target.classifier
    assert isinstance(model, Defended)  # noqa: S101 (the caller has looked)
    few = subset(target, HALVES)
    x, y = tensors(few.samples, model.device)
    half = Adaptive(model, way, max(draws // 2, 1))
    gradients = []
    for seed in (1, 2):
        half.begin(seed)
        inputs = x.clone().requires_grad_(True)
        loss = nn.functional.cross_entropy(half(inputs), y, reduction="sum")
        gradients.append(torch.autograd.grad(loss, inputs)[0].flatten(1))
    first, second = gradients
    cosine = float(nn.functional.cosine_similarity(first, second, dim=1, eps=1e-30).mean()) if len(x) else 0.0
    detail = f"gradients over two halves of {draws} draws have a cosine of {cosine:.2f}"
    return Evidence("eot", unit.model.name, unit.model.seed, None, None, cosine, len(x), detail)
