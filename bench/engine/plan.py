"""Suite -> units -> cells, each cell with a content key over all that changes its answer."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from adapters.cache.card import Card
from adapters.defences.ways import Way
from bench.attacks.registry import BOTH, Carrier, version_of
from bench.attacks.spec import Attack, asks, carriers_of, carries, parameters, used_by
from bench.engine.adapting import Role, about_draws, adaptations
from bench.ids import ModelId, UnitId
from bench.suite.suite import Suite

log = logging.getLogger(__name__)

KEY_VERSION = 5
"""Raised when our own code changes what a cell's records hold."""

ASKING = 2
"""Raised when models answer black-box attacks otherwise, or these draw otherwise.

It stands in their cells' keys alone.
"""


UNTRAINED = Card("untrained", "", 0, 0, ())
"""The card of a model that is still to be trained, where units are only to be named."""


@dataclass(frozen=True)
class Cell:
    """One unit at one eps. ``key`` names its records."""

    eps: Fraction
    key: str


@dataclass(frozen=True)
class Unit:
    """One model, one attack, one library (an ensemble: several): all its eps at once.

    ``stream`` seeds what the attack draws at random. With ``source``, the attack is carried out against that
    model and its adversarials are transferred to this one. With ``way``, it is adapted to the model's
    defences in that way; ``role`` says what it knows of them, and ``draws`` how many draws estimate what the
    model does, where they do.
    """

    model: ModelId
    attack: Attack
    library: Carrier
    cells: tuple[Cell, ...]
    stream: int = 0
    source: ModelId | None = None
    way: Way | None = None
    role: Role = ""
    draws: int = 0

    @property
    def attack_label(self) -> str:
        """The attack's name in tables; a transferred one names its source, an adapted one how it adapts."""
        if self.way is not None:
            return f"{self.attack.label} {self.way.name}"
        return self.attack.label if self.source is None else f"{self.attack.label} on {self.source.name}"

    @property
    def keys(self) -> list[str]:
        """The keys of its cells."""
        return [cell.key for cell in self.cells]

    @property
    def key(self) -> str:
        """The content key of just these cells together: names what is done of an unfinished unit."""
        return content_key({"cells": self.keys})

    @property
    def label(self) -> str:
        """The unit's name in progress lines, and what ``--only`` matches."""
        return str(UnitId(self.model, self.attack_label, self.library))


def make_units(suite: Suite, cards: dict[ModelId, Card], data_hash: str) -> list[Unit]:
    """All units of ``suite`` whose models' cards are known, in its order; then what is transferred."""
    return [
        _unit(suite, cards, data_hash, unit) for model in cards for unit in _asked(suite, model, list(cards))
    ]


def _asked(suite: Suite, model: ModelId, models: Sequence[ModelId]) -> Iterator[Unit]:
    """What is asked of ``model``; each adversarial that is transferred to it, once."""
    stack = suite.stack_of(model.name)
    plain = [(attack, carrier) for attack in suite.attacks for carrier in suite.carriers_of(attack)]
    tried = {attack: adaptations(suite, stack, attack) for attack in suite.attacks}
    draws = suite.draws.judge if stack is not None and stack.sampled else 0
    known: set[tuple[str, str]] = set()
    for i in range(max(map(len, tried.values()))):
        for attack in suite.attacks:
            if i < len(tried[attack]):
                how = tried[attack][i]
                source = ModelId(how.source, model.seed) if how.source is not None else None
                known |= {(attack.label, how.source)} if how.source is not None else set()
                asked = how.instead or attack
                for carrier in suite.carriers_of(attack) if how.instead is None else carriers_of(asked):
                    yield Unit(model, asked, carrier, (), suite.seed, source, how.way, how.role, draws)
    for source in (ModelId(m.name, model.seed) for m in suite.models if suite.transfer):
        for attack, carrier in plain:
            if source != model and source in models and (attack.label, source.name) not in known:
                yield Unit(
                    model, attack, carrier, (), suite.seed, source, role="naive" if stack else "", draws=draws
                )


def _unit(suite: Suite, cards: dict[ModelId, Card], data_hash: str, unit: Unit) -> Unit:
    facts: dict[str, object] = {
        "key_version": KEY_VERSION,
        "model": cards[unit.model].sha256,
        "data": data_hash,
        "attack": parameters(unit.attack),
        "library": unit.library,
        "library_version": library_version(unit.attack, unit.library),
        "seed": suite.seed,
        "precision": suite.precision,
        **about_draws(suite, suite.stack_of(unit.model.name), unit.way),
    }
    if asks(unit.attack):
        facts["asking"] = ASKING
    if unit.source is not None:
        facts["source"] = cards[unit.source].sha256
    grid = suite.grid(unit.attack)
    below = [
        {"carried": [str(eps) for eps in grid[:i]]} if carries(unit.attack) else {} for i in range(len(grid))
    ]
    cells = tuple(
        Cell(eps, content_key({**facts, **carried, "eps": str(eps)}))
        for eps, carried in zip(grid, below, strict=True)
    )
    return replace(unit, cells=cells)


def library_version(attack: Attack, carrier: Carrier) -> str:
    """The version of what carries ``attack`` out; those of all libraries that an ensemble goes through."""
    return " ".join(version_of(library) for library in used_by(attack, carrier))


def attackable(units: Sequence[Unit], problem: Callable[[str], str | None]) -> list[Unit]:
    """``units`` without those whose library has a ``problem``, where another one carries out the same attack.

    Where none can, the unit stays, and fails with the reason: nothing that a suite asks for vanishes.
    """
    carriers = [library for library in dict.fromkeys(unit.library for unit in units) if library != BOTH]
    broken = {library: reason for library in carriers if (reason := problem(library))}
    sound = {_question_of(u) for u in units if u.library not in broken}
    left = [u for u in units if u.library not in broken or _question_of(u) not in sound]
    for library, reason in broken.items():
        log.warning(
            "%s is left out: %s. Attacks that other libraries have too run through those alone",
            library,
            reason,
        )
    return left


def _question_of(unit: Unit) -> tuple[object, ...]:
    """What units share that differ only in their library."""
    return unit.model, unit.attack_label


def content_key(facts: dict[str, object]) -> str:
    """32 hex digits that name ``facts``."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
