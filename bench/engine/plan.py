"""Suite -> units -> cells, each cell with a content key over all that changes its answer."""

import hashlib
import json
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib.metadata import version

from adapters.cache.card import Card
from bench.attacks.contract import DISTRIBUTIONS, LIBRARIES, Carrier
from bench.attacks.spec import Attack, parameters
from bench.ids import ModelId, UnitId
from bench.suite.suite import Suite

KEY_VERSION = 5
"""Raised when our own code changes what a cell's records hold."""


UNTRAINED = Card("untrained", "", 0, 0, ())
"""The card of a model that is still to be trained, where units are only to be named."""


@dataclass(frozen=True)
class Cell:
    """One unit at one eps. ``key`` names its records."""

    eps: Fraction
    key: str


@dataclass(frozen=True)
class Unit:
    """One model, one attack, one library (an ensemble: both): all its eps at once.

    ``stream`` seeds what the attack draws at random. With ``source``, the attack is carried out against that model and its
    adversarials are transferred to this one.
    """

    model: ModelId
    attack: Attack
    library: Carrier
    cells: tuple[Cell, ...]
    stream: int = 0
    source: ModelId | None = None

    @property
    def attack_label(self) -> str:
        """The attack's name in tables; a transferred one names its source."""
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
    """All units of ``suite`` whose models' cards are known, in the order of the suite; then what is transferred."""
    sources: list[str | None] = [None, *(m.name for m in suite.models if suite.transfer)]
    return [
        _unit(suite, cards, data_hash, Unit(model, attack, carrier, (), suite.seed, source))
        for model in cards
        for source in (None if name is None else ModelId(name, model.seed) for name in sources)
        if source != model and (source is None or source in cards)
        for attack in suite.attacks
        for carrier in suite.carriers_of(attack)
    ]


def _unit(suite: Suite, cards: dict[ModelId, Card], data_hash: str, unit: Unit) -> Unit:
    facts: dict[str, object] = {
        "key_version": KEY_VERSION,
        "model": cards[unit.model].sha256,
        "data": data_hash,
        "attack": parameters(unit.attack),
        "library": unit.library,
        "library_version": library_version(unit.library),
        "seed": suite.seed,
        "precision": suite.precision,
    }
    if unit.source is not None:
        facts["source"] = cards[unit.source].sha256
    cells = tuple(Cell(eps, content_key({**facts, "eps": str(eps)})) for eps in suite.grid(unit.attack))
    return replace(unit, cells=cells)


def library_version(carrier: Carrier) -> str:
    """The version of what carries a unit out; both versions for an ensemble."""
    libraries = LIBRARIES if carrier == "both" else (carrier,)
    return " ".join(version(DISTRIBUTIONS[library]) for library in libraries)


def content_key(facts: dict[str, object]) -> str:
    """32 hex digits that name ``facts``."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
