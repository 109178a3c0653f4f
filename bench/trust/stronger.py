"""Stronger attacks than a suite's: what they break, an attack that deserves trust breaks too.

Scoring compares.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from adapters.classifier import Classifier
from bench.attacks.spec import Pgd, usable
from bench.engine.plan import Cell, Unit
from bench.engine.runner import Target, UnitResult, run_unit
from bench.ids import ModelId
from bench.store.evidence import Evidence
from bench.store.records import Bools, Ints
from bench.trust.binarisation import NORMS
from bench.trust.recorder import spaced, take
from bench.trust.sources import Source, sources

Loss = Literal["margin", "rescaled"]
"""Cross-entropy on the two largest logits, or all, at a gap where it neither saturates nor is flat."""
GAP = 1.5
RESCALED_EVERY = 4
"""One in so many samples is attacked by the second loss too, unless it finds something."""
MORE, RARE = 4, 25
"""So many times as many samples are tried where more than one in so many of the first breaks."""
STEPS = 10
PGD: TypeAdapter[Pgd] = TypeAdapter(Pgd)


class Rescaled(Classifier):
    """``inner`` with its two largest logits set GAP apart, image by image: cross-entropy on them is ``loss``.

    The scale is a constant to the gradient. For "margin", all other logits are out of reach, and without a
    gradient.
    """

    def __init__(self, inner: Classifier, loss: Loss) -> None:
        nn.Module.__init__(self)
        self.inner, self.loss, self.num_classes = inner, loss, inner.num_classes

    def forward(self, x: Tensor) -> Tensor:
        """Rescaled logits of ``x``, the largest zero."""
        logits: Tensor = self.inner(x)
        largest, where = logits.detach().topk(2, dim=1)
        least = 1e-6 * logits.detach().abs().amax(1) + torch.finfo(logits.dtype).tiny
        scale = GAP / torch.maximum(largest[:, 0] - largest[:, 1], least)
        rescaled = (logits - largest[:, :1]) * scale[:, None]
        if self.loss == "rescaled":
            return rescaled
        return torch.full_like(rescaled, -50).scatter(1, where, rescaled.gather(1, where))


@dataclass(frozen=True)
class Reach:
    """How far stronger attacks go, at ``eps`` in ``norm``, on what ``held`` of ``target`` in the suite."""

    target: Target
    norm: str
    eps: Fraction
    held: Ints

    def evidence(self, check: str, tried: Ints, broken: Ints, detail: str) -> Evidence:
        """That of the samples ``tried``, those at ``broken`` were broken.

        Of all that are attacked, it is presumably such a share.
        """
        ids = tuple(self.target.samples.ids[i] for i in broken)
        share = len(broken) / max(len(tried), 1) * len(self.held) / len(self.target.correct)
        return Evidence(f"{check}-{self.norm}", "", 0, None, None, share, len(tried), detail, ids, self.eps)

    def broken_through(
        self, source: Classifier, held: Ints, count: int, loss: Loss = "margin"
    ) -> tuple[Ints, Ints]:
        """Which of ``held`` were tried, and which of these are broken, by descent on ``source`` for ``loss``.

        Tried are ``count``, and MORE times as many if more of them break than one in RARE: most models show
        little.
        """
        tried = held[spaced(len(held), count)]
        broken = self._broken(source, tried, loss)
        more = np.setdiff1d(held[spaced(len(held), MORE * count)], tried)
        if RARE * len(broken) <= len(tried) or not len(more):
            return tried, broken
        return np.concatenate([tried, more]), np.concatenate([broken, self._broken(source, more, loss)])

    def _broken(self, source: Classifier, tried: Ints, loss: Loss) -> Ints:
        return tried[self._descend(source, tried, loss).records[0].success] if len(tried) else tried

    def adversarial(self, steps: int = 2) -> Tensor:
        """Where ``steps`` of the first descent end on all that ``held``."""
        images = self._descend(
            self.target.classifier, self.held, "margin", steps=steps, keep_images=True
        ).images
        assert images is not None  # noqa: S101 (asked for)
        return torch.from_numpy(images[0]).to(self.target.classifier.device)

    def _descend(
        self, source: Classifier, tried: Ints, loss: Loss, *, steps: int = STEPS, keep_images: bool = False
    ) -> UnitResult:
        attack = PGD.validate_python(
            {"attack": "pgd", "norm": self.norm, "steps": steps, "rel_step_size": 2.5 / steps}
        )
        unit = Unit(ModelId("", 0), attack, usable(attack), (Cell(self.eps, "control"),))
        few = replace(take(self.target, tried), batch_size=self.target.batch_size)
        attacked = replace(few, source=replace(few, classifier=Rescaled(source, loss)))
        return run_unit(unit, attacked, keep_images=keep_images)


def stronger(
    reach: Reach, raw: Classifier, siblings: Sequence[Source], count: int, few: int
) -> Iterator[Evidence]:
    """What other losses break on the model (of ``count`` samples or all), and what transfers (of ``few``)."""
    if reach.norm not in NORMS:
        return
    own = reach.target.classifier
    tried, broken = reach.broken_through(own, reach.held, count)
    left = np.setdiff1d(reach.held, broken)
    _, besides = reach.broken_through(own, left, count // RESCALED_EVERY, "rescaled")
    yield reach.evidence("second-loss", tried, np.concatenate([broken, besides]), "by descent on the margin")
    left = np.setdiff1d(left, besides)
    for check, (name, load) in sources(reach.target, reach.held, raw, siblings):
        source = load()
        if source is not None:
            yield reach.evidence(check, *reach.broken_through(source, left, few), name)


def held_of(target: Target, broken: Bools | None) -> Ints:
    """Positions of samples that the suite's attacks left unbroken; if none, of all predicted correctly."""
    correct = target.correct
    held = correct if broken is None else correct[~broken[correct]]
    return held if len(held) else correct


def hardest(target: Target, broken: Bools | None, count: int) -> Ints:
    """Positions of ``count`` samples that the suite's attacks left unbroken, and others if they are fewer."""
    held = held_of(target, broken)
    chosen = held[spaced(len(held), count)]
    others = np.setdiff1d(target.correct, chosen)
    return np.sort(np.concatenate([chosen, others[spaced(len(others), count - len(chosen))]]))
