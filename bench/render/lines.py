"""What figures draw: a scorecard as lines over eps and bars, of models or their means over training seeds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bench.ids import ModelId
from bench.render.alike import joined
from bench.scoring.metrics import Metrics
from bench.scoring.over_seeds import SeedRate
from bench.scoring.scorecard import CellScore, Scorecard

Interval = tuple[float, float]
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
"""Told apart by colour-blind readers (Okabe and Ito 2008)."""
SAME = 1e-4
"""Share of an axis that two lines on one another are apart at most: nothing that can be seen."""
EITHER = "either"
"""Stands for a library's name where a sample counts as broken if any library breaks it."""


@dataclass(frozen=True)
class Line:
    """One line of a panel: values over eps (from 0; in 1/255 for linf), and their 95 % band.

    ``model`` counts the models in the order in which they were run, so that a model keeps its colour from run
    to run. ``same`` are the other libraries that agree exactly with ``library``: on every sample at every
    eps.
    """

    label: str
    model: int
    library: str
    eps: list[float]
    values: list[float]
    band: list[Interval]
    same: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Lora-fc, foolbox = art: the model, and the libraries where there may be several."""
        return self.label if self.library == EITHER else f"{self.label}, {joined((self.library, *self.same))}"


@dataclass(frozen=True)
class Bars:
    """One model's attack success rates at the headline eps by attack: each with its 95 % interval."""

    label: str
    model: int
    rates: dict[str, tuple[float, Interval]]


def robust_accuracy(card: Scorecard, attack: str) -> list[Line]:
    """Robust accuracy in percent; at eps 0 it is the clean accuracy."""
    found = []
    for i, name, rates in _over_seeds(card, attack):
        shares = [
            next(s.accuracy for s in card.seeds if s.model == name),
            *(rate.robust_accuracy for rate in rates),
        ]
        band = [(100 * s.low, 100 * s.high) for s in shares]
        found.append(Line(name, i, EITHER, _grid(card, attack, rates), [100 * s.mean for s in shares], band))
    for i, name, library, cells in _alone(card, attack):
        own = [_metrics(cells[0]).accuracy, *(_metrics(cell).robust_accuracy for cell in cells)]
        band = [(100 * p.low, 100 * p.high) for p in own]
        found.append(Line(name, i, library, _grid(card, attack, cells), [100 * p.value for p in own], band))
    return _once(card, attack, found, 100)


def certainty(card: Scorecard, attack: str) -> list[Line]:
    """Certainty under attack; at eps 0 it is the clean one."""
    found = []
    for i, name, rates in _over_seeds(card, attack):
        clean = next(s for s in card.seeds if s.model == name)
        band = [
            (clean.certainty_low, clean.certainty_high),
            *((r.certainty_adv_low, r.certainty_adv_high) for r in rates),
        ]
        values = [clean.certainty, *(rate.certainty_adv for rate in rates)]
        found.append(Line(name, i, EITHER, _grid(card, attack, rates), values, band))
    for i, name, library, cells in _alone(card, attack):
        own = [_metrics(cell) for cell in cells]
        band = [
            (own[0].certainty_low, own[0].certainty_high),
            *((m.certainty_adv_low, m.certainty_adv_high) for m in own),
        ]
        values = [own[0].certainty, *(m.certainty_adv for m in own)]
        found.append(Line(name, i, library, _grid(card, attack, cells), values, band))
    return _once(card, attack, found, 1)


def _once(card: Scorecard, attack: str, found: Sequence[Line], top: float) -> list[Line]:
    """``found`` with lines on one another, of libraries that agree exactly, as one."""
    drawn: list[Line] = []
    for line in found:
        over = (
            i
            for i, other in enumerate(drawn)
            if _same(other, line, top) and _agree(card, attack, other, line)
        )
        at = next(over, None)
        if at is None:
            drawn.append(line)
        else:
            drawn[at] = replace(drawn[at], same=(*drawn[at].same, line.library))
    return drawn


def _same(one: Line, other: Line, top: float) -> bool:
    """Whether the two are of one model, and lie on one another."""
    pairs = list(zip(one.values, other.values, strict=False))
    return (one.model, one.eps) == (other.model, other.eps) and all(
        abs(a - b) <= SAME * top for a, b in pairs
    )


def _agree(card: Scorecard, attack: str, one: Line, other: Line) -> bool:
    """Whether the cross-checks of the libraries find the same outcome on every sample, at every eps."""
    model, both = models(card)[one.model], {one.library, other.library}
    checks = [
        c for c in card.crosschecks if (c.model, c.attack) == (model, attack) and {c.first, c.second} == both
    ]
    return bool(checks) and all(c.agreement == 1 for c in checks)


def attack_success(card: Scorecard) -> Iterator[Bars]:
    """In percent, through any library."""
    if card.seeds:
        for i, name in enumerate(_names(card)):
            own = [
                r
                for r in card.seed_rates
                if (r.model, r.eps) == (name, card.headline_eps) and r.asr is not None
            ]
            yield Bars(
                name,
                i,
                {r.attack: (100 * r.asr.mean, (100 * r.asr.low, 100 * r.asr.high)) for r in own if r.asr},
            )
        return
    for i, model in enumerate(models(card)):
        found = [a for a in card.attacks if (a.model, a.eps) == (model, card.headline_eps)]
        rates = {a.attack: (100 * a.asr.value, (100 * a.asr.low, 100 * a.asr.high)) for a in found}
        yield Bars(card.title(model), i, rates)


def attacks(card: Scorecard) -> dict[str, str]:
    """The norm of each attack that has numbers."""
    return {cell.entry.attack: cell.entry.norm for cell in card.cells if cell.metrics is not None}


def _over_seeds(card: Scorecard, attack: str) -> Iterator[tuple[int, str, list[SeedRate]]]:
    """Each model over its seeds; none where there is one seed."""
    for i, name in enumerate(_names(card) if card.seeds else ()):
        own = [rate for rate in card.seed_rates if (rate.model, rate.attack) == (name, attack)]
        if own:
            yield i, name, sorted(own, key=lambda rate: rate.eps)


def _alone(card: Scorecard, attack: str) -> Iterator[tuple[int, str, str, list[CellScore]]]:
    """Each model through each library; none where models are summed up over their seeds."""
    cells = [] if card.seeds else _cells(card, attack)
    for i, model in enumerate(models(card)):
        for library in dict.fromkeys(cell.entry.library for cell in cells):
            own = [c for c in cells if (c.entry.id.model, c.entry.library) == (model, library)]
            if own:
                yield i, card.title(model), library, sorted(own, key=lambda c: c.entry.eps)


def _cells(card: Scorecard, attack: str) -> list[CellScore]:
    return [cell for cell in card.cells if cell.metrics is not None and cell.entry.attack == attack]


def _grid(card: Scorecard, attack: str, found: Sequence[CellScore] | Sequence[SeedRate]) -> list[float]:
    """Zero, for no attack, and the eps of ``found`` on the axis's scale."""
    scale = 255 if attacks(card)[attack] == "linf" else 1
    return [0.0, *(float(c.entry.eps if isinstance(c, CellScore) else c.eps) * scale for c in found)]


def _names(card: Scorecard) -> list[str]:
    return list(dict.fromkeys(model.name for model in models(card)))


def models(card: Scorecard) -> list[ModelId]:
    """Every model, in the order in which they were run."""
    return list(dict.fromkeys(cell.entry.id.model for cell in card.cells))


def _metrics(cell: CellScore) -> Metrics:
    if cell.metrics is None:
        raise ValueError(f"the cell {cell.entry.key} has no numbers")
    return cell.metrics
