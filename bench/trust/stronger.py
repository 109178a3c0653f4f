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
from bench.engine.runner import Target, run_unit
from bench.ids import ModelId
from bench.store.evidence import Evidence
from bench.store.records import Bools, Ints
from bench.trust.recorder import spaced, take
from bench.trust.sources import Source, sources

Loss = Literal["margin", "rescaled"]
"""Cross-entropy on the two largest logits, or all, at a gap where it neither saturates nor is flat."""
GAP = 1.5
RESCALED_EVERY = 4
"""One in so many samples is attacked by the second loss too, unless it finds something."""
BRIEF = 5
"""Steps of a descent by the second loss, or on another model: these show what they can in few."""
MORE, RARE = 4, 25
"""So many times as many samples are tried where more than one in so many of the first breaks."""
STEPS = 11
"""Odd: a descent that is turned back at every second step has moved all the same when it ends."""
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

    def evidence(self, check: str, tried: Ints, broken: Ints, detail: str, part: float = 1) -> Evidence:
        """That of the samples ``tried``, those at ``broken`` were broken.

        Of all that are attacked, it is presumably such a share, where they stand for a ``part`` of what held.
        """
        ids = tuple(self.target.samples.ids[i] for i in broken)
        share = len(broken) / max(len(tried), 1) * part * len(self.held) / len(self.target.correct)
        return Evidence(f"{check}-{self.norm}", "", 0, None, None, share, len(tried), detail, ids, self.eps)

    def broken_through(
        self, source: Classifier, held: Ints, count: int, loss: Loss = "margin", steps: int = STEPS
    ) -> "Tried":
        """Which of ``held`` descent on ``source`` for ``loss`` breaks, of ``count``.

        It tries MORE times as many if more of them break than one in RARE: most models show little.
        """
        first = self._descended(source, held[spaced(len(held), count)], loss, steps)
        more = np.setdiff1d(held[spaced(len(held), MORE * count)], first.samples)
        if RARE * len(first.broken) <= len(first.samples) or not len(more):
            return first
        return first.beside(self._descended(source, more, loss, steps))

    def adversarial(self) -> Tensor:
        """Where two steps of descent on the margin end on all that ``held``."""
        return self._descended(self.target.classifier, self.held, "margin", 2).images

    def _descended(self, source: Classifier, tried: Ints, loss: Loss, steps: int) -> "Tried":
        if not len(tried):
            return Tried(tried, np.zeros(0, bool), torch.empty(0))
        few = replace(take(self.target, tried), batch_size=self.target.batch_size)
        attack = PGD.validate_python(
            {"attack": "pgd", "norm": self.norm, "steps": steps, "rel_step_size": 2.5 / steps}
        )
        unit = Unit(ModelId("", 0), attack, usable(attack), (Cell(self.eps, "control"),))
        attacked = replace(few, source=replace(few, classifier=Rescaled(source, loss)))
        found = run_unit(unit, attacked, keep_images=True)
        assert found.images is not None  # noqa: S101 (asked for)
        images = torch.from_numpy(found.images[0]).to(few.classifier.device)
        return Tried(tried, found.records[0].success, images)


@dataclass(frozen=True)
class Tried:
    """Which of the ``samples`` (N positions) an attempt broke, and the images (N x C x H x W) it made."""

    samples: Ints
    success: Bools
    images: Tensor

    @property
    def broken(self) -> Ints:
        """Positions of those that it broke."""
        return self.samples[self.success]

    def beside(self, other: "Tried") -> "Tried":
        """Both together."""
        return Tried(
            np.concatenate([self.samples, other.samples]),
            np.concatenate([self.success, other.success]),
            torch.cat([self.images, other.images]),
        )


def stronger(
    reach: Reach, descent: Tried, raw: Classifier, siblings: Sequence[Source], few: int
) -> Iterator[Evidence]:
    """What the ``descent`` on the margin and another loss break, and what transfers (of ``few``)."""
    own = reach.target.classifier
    left = np.setdiff1d(reach.held, descent.broken)
    every = len(descent.samples) // RESCALED_EVERY
    besides = reach.broken_through(own, left, every, "rescaled", BRIEF).broken
    broken = np.concatenate([descent.broken, besides])
    yield reach.evidence("second-loss", descent.samples, broken, "by descent on the margin")
    left = np.setdiff1d(left, besides)
    for check, (name, load) in sources(reach.target, reach.held, raw, siblings):
        source = load()
        if source is not None:
            found = reach.broken_through(source, left, few, steps=BRIEF)
            yield reach.evidence(check, found.samples, found.broken, name)


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
