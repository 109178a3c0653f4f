"""Suite -> units -> cells, each cell with a content key over all that changes its answer."""

import hashlib
import json
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version

from adapters.zoo import Card
from bench.attacks.contract import DISTRIBUTIONS, Library
from bench.attacks.spec import parameters
from bench.suite import Attack, Suite

KEY_VERSION = 1
"""Raised when our own code changes what a cell's records hold."""


@dataclass(frozen=True)
class Cell:
    """One unit at one eps. ``key`` names its records."""

    eps: Fraction
    key: str


@dataclass(frozen=True)
class Unit:
    """One model (at one training seed), one attack, one library: all its eps at once."""

    model: str
    seed: int
    attack: Attack
    library: Library
    cells: tuple[Cell, ...]

    @property
    def key(self) -> str:
        """The content key of just these cells together: names what is done of an unfinished unit."""
        return content_key({"cells": [cell.key for cell in self.cells]})

    @property
    def label(self) -> str:
        """The unit's name in progress lines, and what ``--only`` matches."""
        return f"{self.model}/{self.seed}/{self.attack.label}/{self.library}"


def make_units(suite: Suite, cards: dict[tuple[str, int], Card], data_hash: str) -> list[Unit]:
    """All units of ``suite`` whose models' cards are known, in the order of the suite."""
    return [
        _unit(suite, card, data_hash, Unit(model, seed, attack, library, ()))
        for (model, seed), card in cards.items()
        for attack in suite.attacks
        for library in suite.libraries_of(attack)
    ]


def _unit(suite: Suite, card: Card, data_hash: str, unit: Unit) -> Unit:
    facts = {
        "key_version": KEY_VERSION,
        "model": card.sha256,
        "data": data_hash,
        "attack": parameters(unit.attack),
        "library": unit.library,
        "library_version": version(DISTRIBUTIONS[unit.library]),
        "seed": suite.seed,
        "precision": suite.precision,
    }
    cells = tuple(Cell(eps, content_key({**facts, "eps": str(eps)})) for eps in suite.grid(unit.attack))
    return Unit(unit.model, unit.seed, unit.attack, unit.library, cells)


def content_key(facts: dict[str, object]) -> str:
    """32 hex digits that name ``facts``."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
