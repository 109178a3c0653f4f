"""An untrained model keeps its own head: how many outputs it has, and which are the data's classes."""

from typing import TYPE_CHECKING

from adapters.backbones.choosing import ONE_LOGIT, chosen_outputs, outputs_by_own_names
from adapters.backbones.own_classes import note_on_classes, own_classes
from adapters.backbones.sources import source_of
from adapters.cache.recipe import Recipe
from adapters.errors import ModelError
from adapters.methods.base import is_new_head
from adapters.methods.registry import method_of
from adapters.outputs import Outputs
from adapters.spec import is_trained

if TYPE_CHECKING:
    from torch import nn

RANDOM = "the backbone's weights are random: give weights"
LISTED = 40
"""Outputs that a note lists."""


def with_own_head(
    recipe: Recipe, network: "nn.Module", has: int, outputs: Outputs | None, adapter: str
) -> "nn.Module":
    """``network``, of ``has`` outputs, as ``recipe``'s untrained model needs it; ``outputs`` are the classes.

    An ``adapter`` (a folder) that was made elsewhere is asked what it was made on, and may bring the head.
    Raises ModelError if the head is none for the data's classes.
    """
    wanted = len(recipe.images.classes)
    made_on = method_of(recipe.adaptation).base(network, has, adapter, has if outputs else wanted)
    if made_on is not None:
        return made_on
    if source_of(recipe.backbone.spec).keeps_classes and is_new_head(network):
        raise ModelError(
            f"{recipe.name}: these weights hold no head; adapt the backbone, or name weights that have one"
        )
    if outputs is None and has != wanted:
        raise ModelError(f"{recipe.name}: {_misfit(recipe, has)}")
    return network


def _misfit(recipe: Recipe, has: int) -> str:
    wanted = len(recipe.images.classes)
    choose = " say in backbone.classes which of its outputs they are," if has > wanted else ""
    random = f"; {RANDOM}" if recipe.backbone.is_random else ""
    fixes = f"choose the data's classes to match,{choose} or adapt the backbone{random}"
    return f"the backbone has {has} classes, the data have {wanted}; {fixes}"


def which_outputs(recipe: Recipe, network: "nn.Module", has: int) -> Outputs | None:
    """Which of the ``has`` outputs of ``network`` are the classes of the untrained model of ``recipe``.

    None where they are so in their order. Raises ModelError where ``classes`` of the backbone, or the names
    that the weights give their outputs, are not those of the data.
    """
    spec, classes, adaptation = recipe.backbone.spec, recipe.images.classes, recipe.adaptation
    found = None
    if spec.classes is not None:
        found = chosen_outputs(spec, own_classes(spec), has, classes)
    elif has == 1 and len(classes) == 2:
        found = ONE_LOGIT
    elif has == len(classes) and source_of(spec).keeps_classes:
        brings_head = method_of(adaptation).brings_head(network, adaptation)
        found = outputs_by_own_names(own_classes(spec), classes, must=not brings_head)
    return found if found is not None and found.changes else None


def note_on_outputs(recipe: Recipe, outputs: Outputs) -> str:
    """What the reader of the numbers of ``recipe``'s model has to know of its ``outputs``."""
    classes = recipe.images.classes
    if outputs == ONE_LOGIT:
        return f"one logit: its sigmoid is the probability of '{classes[1]}', the second class"
    who = (
        "as the suite says"
        if recipe.backbone.spec.classes is not None
        else "by the names that the weights give them"
    )
    listed = f" ({', '.join(map(str, outputs.index))})" if len(outputs.index) <= LISTED else ""
    others = outputs.of - len(outputs.index)
    cut = "are cut off: an image is only ever taken for one of the data's classes"
    kept = "are kept: an image that is taken for one of them counts as wrong"
    rest = f"; the logits of the other {others} {kept if outputs.kept else cut}" if others else ""
    return (
        f"{len(outputs.index)} of the network's {outputs.of} outputs are the data's classes{listed},"
        f" {who}{rest}"
    )


def notes_on(recipe: Recipe, network: "nn.Module", outputs: Outputs | None) -> tuple[str, ...]:
    """What is to be said of ``recipe``'s model, made on ``network``, beside what is known of its backbone."""
    kept = not is_trained(recipe.adaptation)
    notes: tuple[str, ...] = (RANDOM,) if recipe.backbone.is_random and kept else ()
    notes += method_of(recipe.adaptation).notes(network, recipe.adaptation)
    if outputs is not None:
        return (*notes, note_on_outputs(recipe, outputs))
    if kept and not recipe.adaptation.lies_at:
        return (*notes, *note_on_classes(recipe.backbone.spec, recipe.images.classes))
    return notes
