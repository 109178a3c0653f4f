"""What a scored run holds: everything that tables, files and gates show."""

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

from bench.ids import ModelId
from bench.scoring import remarks
from bench.scoring.claims import Claim
from bench.scoring.classes import ClassScores
from bench.scoring.comparison import Comparison
from bench.scoring.crosscheck import CrossCheck, Extremes, extremes
from bench.scoring.curves import SecurityCurve
from bench.scoring.defended import DefenceScore
from bench.scoring.flags import Flag, flags, unchecked
from bench.scoring.metrics import Metrics
from bench.scoring.model_ranking import Place
from bench.scoring.over_seeds import SeedRate, SeedScore
from bench.scoring.queries import QueryScore
from bench.scoring.remarks import Kind, Remark
from bench.scoring.robust_training import Answer
from bench.scoring.seen import Seen
from bench.scoring.sentences import Sentence, method, sentences
from bench.scoring.statistics import Proportion
from bench.scoring.trust import CellTrust, Grade
from bench.store import CellEntry, DataEntry
from bench.store.shapes import Robust


@dataclass(frozen=True)
class CellScore:
    """One cell: what was run, what came out.

    ``metrics`` and ``trust`` are None unless ``entry.status`` is "ok".
    """

    entry: CellEntry
    metrics: Metrics | None
    trust: CellTrust | None = None


@dataclass(frozen=True)
class AttackScore:
    """One attack at one eps on one model: a sample counts as broken if any library breaks it.

    ``trust`` is the worst grade of the libraries' cells.
    """

    model: ModelId
    attack: str
    eps: Fraction
    asr: Proportion
    trust: Grade = "unchecked"


@dataclass(frozen=True)
class ModelScore(Place):
    """One model: where it stands, what it is, and how certain, clean and under attack at the headline eps.

    ``losses`` are of each epoch of its training, ``robust`` is how it went where it was adversarial.
    """

    method: str
    trainable_parameters: int
    parameters: int
    certainty: float | None
    certainty_adv: float | None
    preprocessing: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    losses: tuple[float, ...] = ()
    robust: Robust | None = None


@dataclass(frozen=True)
class CurveScore:
    """The security curve of one model under one attack through one library; ``budget`` is the contract's."""

    model: ModelId
    attack: str
    library: str
    norm: str
    budget: str
    curve: SecurityCurve


@dataclass(frozen=True)
class PrecisionScore:
    """Of the outcomes crafted again in float32, the share that differs there from those in ``crafted``.

    ``differs`` is None where none was crafted again.
    """

    crafted: str
    differs: Proportion | None


@dataclass(frozen=True)
class Scorecard:
    """A scored run. ``models`` rank by worst case, best first; ``status`` is "complete" or "incomplete".

    ``comparisons`` are of every pair of models (of equal seed) under every attack at every eps, and
    ``headline`` of every pair in the worst case at the headline eps, where both are sound. ``claims`` compare
    what holds besides, and over training seeds, where ``seeds`` and ``seed_rates`` sum up each model.
    ``baseline`` is the model that the suite declares first. ``trust_level`` is the suite's. ``trust_cost`` is
    the time of its checks over that of the attacks, where both are known. ``queries`` are of every black-box
    attack at the headline eps, or at its largest where the suite does not run it at that. ``precision`` is
    None where all is float32. ``seen`` says what the models see, ``data`` the same of the samples as data;
    empty and None in runs from before it was kept. ``defences`` has what each defended model gains, and
    ``answers`` say what adversarial training does for adapters. ``classes`` are the cells at the headline eps
    class by class, where these are few.
    """

    suite: str
    run_id: str
    status: str
    headline_eps: Fraction
    models: tuple[ModelScore, ...]
    cells: tuple[CellScore, ...]
    attacks: tuple[AttackScore, ...]
    crosschecks: tuple[CrossCheck, ...]
    comparisons: tuple[Comparison, ...] = ()
    headline: tuple[Comparison, ...] = ()
    curves: tuple[CurveScore, ...] = ()
    seeds: tuple[SeedScore, ...] = ()
    seed_rates: tuple[SeedRate, ...] = ()
    claims: tuple[Claim, ...] = ()
    baseline: str = ""
    trust_level: str = ""
    trust_cost: float | None = None
    queries: tuple[QueryScore, ...] = ()
    precision: PrecisionScore | None = None
    data: DataEntry | None = None
    seen: tuple[Seen, ...] = ()
    defences: tuple[DefenceScore, ...] = ()
    answers: tuple[Answer, ...] = ()
    classes: tuple[ClassScores, ...] = ()
    carried: tuple[str, ...] = ()
    """The attacks of which what breaks a sample at one eps counts at every larger one."""

    def title(self, model: ModelId) -> str:
        """The name of ``model``, with its training seed where there are several."""
        return model.title(seeds=len({m.model.seed for m in self.models}) > 1)

    @cached_property
    def sentences(self) -> tuple[Sentence, ...]:
        """The differences at the headline eps in words, each with interval, test and what it could show."""
        return tuple(sentences(self))

    @cached_property
    def method(self) -> str:
        """How the differences were tested, and with what power, in words."""
        return method(self)

    @cached_property
    def flags(self) -> tuple[Flag, ...]:
        """Every warning and failure of the trust checks, gathered by check, model and what was found."""
        return flags((c.entry, c.trust) for c in self.cells)

    @cached_property
    def unchecked(self) -> dict[str, int]:
        """The checks that had too few samples to fail, each with the number of its cells."""
        return unchecked((c.entry, c.trust) for c in self.cells)

    @cached_property
    def extremes(self) -> tuple[Extremes, ...]:
        """The cross-checks of each attack by verdict: how many, the lowest agreement, and the widest gap."""
        return extremes(self.crosschecks)

    @cached_property
    def remarks(self) -> tuple[Remark, ...]:
        """What must be known to read the numbers, in words."""
        entries = [cell.entry for cell in self.cells]
        grades = [cell.trust.grade for cell in self.cells if cell.trust is not None]
        return (
            *remarks.unchecked(grades, self.trust_level),
            *remarks.out_of_order(self.seeds or self.models),
            *remarks.carried(self.carried),
            *([remarks.precision(self.precision.crafted, self.precision.differs)] if self.precision else []),
            *remarks.crosschecked(self.crosschecks),
            *remarks.flagged(self.flags),
            *remarks.unranked(self.models),
            *remarks.trust(grades, self.trust_cost, self.unchecked, self.trust_level),
            *remarks.failed(entries),
            *remarks.not_run(entries),
        )

    def remarks_on(self, *kinds: Kind) -> list[Remark]:
        """The remarks of these ``kinds``, in the order in which the kinds are asked for."""
        return [remark for kind in kinds for remark in self.remarks if remark.kind == kind]
