"""Which units a model with defences has besides those of the suite's attacks.

They are what an attacker tries who knows the defences.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from adapters.cache.card import Card
from adapters.defences.base import RandomSwitch
from adapters.defences.stack import Stack
from adapters.defences.ways import ARC, REPEAT, Way, ways_of
from bench.attacks.attack import Attack
from bench.attacks.spec import contract_of
from bench.attacks.white_box import Arc, Bim, MiFgsm, Pgd
from bench.ids import ModelId
from bench.suite.suite import Suite

Role = Literal["", "naive", "adaptive", "both"]
"""What an attack knows of a model's defences.

Empty: there are none. naive: nothing. both: there is nothing to know, since its
answers or its gradient say all. adaptive: all of it."""
CROSS_ENTROPY = ("fgsm", "bim", "mi-fgsm", "pgd")
"""Attacks that raise the cross-entropy, whose mean over branches they can therefore follow."""


@dataclass(frozen=True)
class Adapted:
    """How an attack is carried out on a model: in a ``way`` of its own, or on the member ``source``.

    ``role`` says what that knows. With ``instead``, another attack with the same parameters takes its place.
    """

    role: Role
    way: Way | None = None
    source: str | None = None
    instead: Attack | None = None


UNDEFENDED = Adapted("")


def adaptations(suite: Suite, stack: Stack | None, attack: Attack) -> list[Adapted]:
    """Every way in which ``attack`` is tried on a model with the defences ``stack``.

    The first is as if they were not there.
    """
    if stack is None:
        return [UNDEFENDED]
    ways = ways_for(stack, attack)
    plain = Adapted("naive" if ways else "both")
    if suite.adapt == "naive":
        return [plain]
    transferred = stack.members if contract_of(attack).access == "white-box" else ()
    known = [Adapted("adaptive", way) for way in ways]
    if isinstance(stack.combination, RandomSwitch) and (arc := _as_arc(attack)) is not None:
        known.append(Adapted("adaptive", ARC, instead=arc))
    return [plain, *known, *(Adapted("adaptive", source=name) for name in transferred)]


def _as_arc(attack: Attack) -> Arc | None:
    """ARC with the steps of ``attack``; None where it has none, or another norm."""
    if not isinstance(attack, Pgd | Bim | MiFgsm) or attack.norm not in ("linf", "l2"):
        return None
    given = {"steps": attack.steps, "step_size": attack.step_size, "rel_step_size": attack.rel_step_size}
    if attack.step_size is None and attack.rel_step_size is None:
        given["rel_step_size"] = attack.usual_reach / attack.steps
    return Arc.model_validate(
        {"attack": "arc", "name": attack.label, "norm": attack.norm, "eps": attack.eps, **given}
    )


def ways_for(stack: Stack, attack: Attack) -> list[Way]:
    """How ``attack`` adapts to ``stack``; not at all where it need not."""
    if contract_of(attack).access != "white-box":
        return [REPEAT] if stack.random else []
    raises_it = attack.attack in CROSS_ENTROPY or (
        attack.attack == "apgd" and getattr(attack, "loss", "") == "ce"
    )
    return list(ways_of(stack, cross_entropy=raises_it))


def about_draws(suite: Suite, stack: Stack | None, way: Way | None) -> dict[str, object]:
    """What a cell's key says of an attack's ``way`` and of draws; nothing of a model without either."""
    facts: dict[str, object] = {}
    if way is not None:
        facts["way"] = vars(way)
        if stack is not None and (stack.sampled or way == REPEAT):
            facts["attack_draws"] = suite.draws.attack
    if stack is not None and stack.sampled:
        facts["draws"] = [suite.draws.judge, suite.draws.choose]
    return facts


def with_defended(suite: Suite, cards: Mapping[ModelId, Card]) -> dict[ModelId, Card]:
    """``cards``, of models with weights of their own, and those of the models around them, in suite order."""
    found: dict[ModelId, Card] = {}
    for model in suite.models:
        for seed in suite.seeds:
            members = [ModelId(name, seed) for name in model.of or (model.name,)]
            if all(member in cards for member in members):
                own = [cards[member] for member in members]
                found[ModelId(model.name, seed)] = _around(model.stack, own) if model.stack else own[0]
    return found


def _around(stack: Stack, members: list[Card]) -> Card:
    """The card of the model that ``stack`` makes of ``members``."""
    return replace(
        members[0],
        sha256=stack.content_hash([card.sha256 for card in members]),
        method=stack.label,
        trainable_parameters=sum(card.trainable_parameters for card in members),
        parameters=sum(card.parameters for card in members),
        losses=(),
        notes=tuple(dict.fromkeys(note for card in members for note in card.notes)),
    )
